/** A TCP proxy before the daemon, whose connections a test can cut. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

export class Proxy {
  /** How many connections there have been. */
  connections = 0;
  /** All that the daemon has sent: its frames are not compressed. */
  heard = '';
  private readonly sockets = new Set<Socket>();
  private refuse = false;

  private constructor(private readonly server: Server, private readonly target: URL) {
    server.on('connection', (socket) => this.accept(socket));
  }

  static async start(t: TestContext, target: string): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server, new URL(target));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.close();
      proxy.cut();
    });
    return proxy;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.server.address() as AddressInfo).port}${this.target.pathname}`;
  }

  /** Cuts every connection without a goodbye. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Cuts every connection, and every new one until `up`. */
  down(): void {
    this.refuse = true;
    this.cut();
  }

  up(): void {
    this.refuse = false;
  }

  private accept(near: Socket): void {
    if (this.refuse) {
      near.destroy();
      return;
    }
    this.connections += 1;
    const far = connect(Number(this.target.port), this.target.hostname);
    far.on('data', (bytes) => (this.heard += bytes.toString('latin1')));
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      this.sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  }
}
