import { Currency, PortalSDK, Timestamp } from 'portal-sdk';

class Subscriptions {
  private portal: PortalSDK;
  private ready: Promise<void>;

  constructor(url: string, token: string) {
    this.portal = new PortalSDK({ serverUrl: url });
    this.ready = this.open(token);
  }

  private async open(token: string) {
    await this.portal.connect();
    await this.portal.authenticate(token);
  }

  // Called at once, while the connection is still being made.
  async subscribe(user: string): Promise<string> {
    const answer = await this.portal.requestRecurringPayment(user, [], {
      amount: 10000,
      currency: Currency.Millisats,
      recurrence: {
        calendar: 'monthly',
        first_payment_due: Timestamp.fromNow(86400),
        max_payments: 12,
        until: Timestamp.fromDate(new Date('2030-12-31')),
      },
      expires_at: Timestamp.fromNow(3600),
    });
    return answer.subscription_id;
  }

  async close(user: string, id: string) {
    await this.ready;
    const stop = await this.portal.listenClosedRecurringPayment((data) => console.log(data.subscription_id, data.main_key, data.reason));
    const message: string = await this.portal.closeRecurringPayment(user, [], id);
    stop();
    return message;
  }

  async next() {
    return await this.portal.calculateNextOccurrence('monthly', Timestamp.fromNow(0));
  }
}

const subscriptions = new Subscriptions(process.env.PORTAL_WS_URL!, process.env.PORTAL_AUTH_TOKEN!);
const id = await subscriptions.subscribe('some-key');
console.log(await subscriptions.close('some-key', id));
console.log((await subscriptions.next())?.toDate());
console.log('done');
