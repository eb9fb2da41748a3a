package cc.getportal.sdk

import com.google.gson.JsonObject
import com.google.gson.JsonParser
import java.io.File
import java.nio.file.Path
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

/** The scenario of portal-core/testkit/scenarios, from Kotlin. */
class ScenarioTest {
    @TempDir
    lateinit var folder: Path

    @Test
    fun `a person logs in and pays while both sides restart`() = Relay().use { relay ->
        val file = File(System.getProperty("portal.scenarios"), "login_pay_restart.json")
        val scenario = JsonParser.parseString(file.readText()).asJsonObject
        val runner = Runner(scenario, relay.url, folder)
        val bound = scenario["step_seconds"].asInt.seconds
        runBlocking {
            scenario["steps"].asJsonArray.map { it.asJsonObject }.forEachIndexed { number, step ->
                val result = runCatching { withTimeout(bound) { runner.step(step) } }
                result.onFailure { throw AssertionError("step ${number + 1}, $step: $it", it) }
            }
        }
    }
}

private class Runner(scenario: JsonObject, private val relay: String, private val folder: Path) {
    private val app = scenario["app"].asJsonObject.let {
        ClientInfo(name = it["name"].asString, version = it["version"].asString)
    }
    private val network = SimulatedNetwork.inMemory()
    private val wallets = scenario["wallets"].asJsonObject.entrySet().associate { (name, msat) ->
        name to network.wallet(name, msat.asLong.toULong())
    }
    private val serviceKey = Keypair.generate()
    private val clientKey = Mnemonic.generate().keypair()
    private lateinit var service: Service
    private lateinit var client: Client
    private lateinit var request: IncomingRequest
    private lateinit var url: String
    private lateinit var asked: Pair<ULong, String?>
    private var preimage: String? = null
    private val streams = mutableMapOf<String, String>()
    private val cursors = mutableMapOf<String, ULong?>()
    private val person get() = clientKey.publicKey().hex

    suspend fun step(step: JsonObject) {
        val refused = step["refused"]?.asString
        try {
            act(step)
        } catch (error: PortalException.Failed) {
            assertEquals(refused, errorWord(error.number), error.reason)
            return
        }
        assertNull(refused, "it is not refused")
    }

    private suspend fun act(step: JsonObject) {
        fun text(name: String) = step[name]?.asString
        fun must(name: String) = checkNotNull(text(name)) { "the step lacks $name" }
        fun flag(name: String) = step[name]?.asBoolean == true
        when (val action = must("do")) {
            "start" -> start(must("who"))
            "stop" -> stop(must("who"))
            "restart" -> must("who").let { stop(it); start(it) }
            "make_url" -> makeUrl()
            "open_url" -> client.sendKeyHandshake(text("url") ?: url, app)
            "ask_login" -> open("login", service.authenticateKey(person, listOf()))
            "ask_payment" -> askPayment(step["amount_msat"].asLong.toULong(), text("description"))
            "expect_request" -> expectRequest(must("is"), flag("same"))
            "expect_no_request" -> assertNull(client.requests().use { it.next() })
            "handled" -> client.requests().use { it.handled(request.id) }
            "approve_login" -> {
                val token = clientKey.issueJwt(request.serviceKey, step["hours"].asLong.toULong() * 3600u)
                client.replyLogin(request.id, LoginStatus.Approved(listOf(), token))
            }
            "decline_login" -> client.replyLogin(request.id, LoginStatus.Declined(must("reason")))
            "reply_payment" -> client.replyPayment(request.id, when (val status = must("status")) {
                "approved" -> PaymentStatus.Approved
                "success" -> PaymentStatus.Success(preimage)
                else -> error("no such status: $status")
            })
            "pay" -> preimage = network.payInvoice(must("payer"), invoice()).preimage
            "expect_event" -> expectEvent(must("stream"), must("is"), flag("keep"))
            "expect_end" -> read(must("stream")) { assertNull(it.next()) }
            "expect_log" -> {
                cursors[must("stream")] = null
                step["are"].asJsonArray.forEach { expectEvent(must("stream"), it.asString, false) }
                read(must("stream")) { assertNull(it.next()) }
            }
            "expect_balance" ->
                assertEquals(step["msat"].asLong.toULong(), wallets.getValue(must("wallet")).balanceMsat())
            else -> error("no such action: $action")
        }
    }

    private suspend fun start(who: String) {
        val database = folder.resolve("$who.sqlite").toString()
        val relays: () -> List<RelayStatus>
        if (who == "service") {
            val options = ServiceOptions(listOf(relay), database, wallets.getValue("merchant"), true)
            service = Service.start(serviceKey, options)
            relays = service::relays
        } else {
            client = Client.start(clientKey, ClientOptions(listOf(relay), database, true))
            relays = client::relays
        }
        while (relays().none { it.state == RelayState.CONNECTED }) delay(10)
    }

    private suspend fun stop(who: String) {
        assertTrue(if (who == "service") service.shutdown() else client.shutdown())
    }

    private suspend fun makeUrl() {
        val opened = service.newKeyHandshakeUrl(HandshakeOptions())
        val parts = parseHandshakeUrl(opened.url)
        assertEquals(service.mainKey() to listOf(relay), parts.mainKey to parts.relays)
        url = opened.url
        open("handshake", opened.streamId)
    }

    private suspend fun askPayment(amount: ULong, description: String?) {
        val content = SinglePaymentContent(amount, Currency.Millisats, description)
        open("payment", service.requestSinglePayment(person, listOf(), content))
        asked = amount to description
    }

    private suspend fun expectRequest(expected: String, same: Boolean) {
        val next = checkNotNull(client.requests().use { it.next() })
        assertEquals(expected, next.body.caseName())
        assertEquals(service.mainKey(), next.serviceKey)
        if (same) assertEquals(request.id, next.id)
        request = next
        if (expected == "payment") {
            assertEquals(asked, payment().let { it.amount to it.description })
        }
    }

    private suspend fun expectEvent(stream: String, expected: String, keep: Boolean) = read(stream) {
        val event = checkNotNull(it.next())
        assertEquals(expected, event.described())
        when (val body = event.body) {
            is PortalEvent.KeyHandshake -> assertEquals(person, body.mainKey)
            is PortalEvent.AuthenticateKey -> {
                assertEquals(person, body.userKey)
                (body.status as? LoginStatus.Approved)?.let { approved ->
                    val claims = verifyJwt(body.userKey, approved.sessionToken)
                    assertEquals(service.mainKey(), claims.targetKey)
                }
            }
            else -> {}
        }
        if (!keep) {
            it.acknowledge(event.index)
            cursors[stream] = it.cursor()
        }
    }

    private fun open(stream: String, id: String) {
        streams[stream] = id
        cursors[stream] = null
    }

    private suspend fun read(stream: String, block: suspend (EventStream) -> Unit) =
        service.stream(streams.getValue(stream), cursors[stream]).use { block(it) }

    private fun payment(): PaymentRequest = (request.body as RequestBody.Payment).request

    private fun invoice(): String = payment().invoice
}

private fun StreamEvent.described(): String = when (val body = body) {
    is PortalEvent.AuthenticateKey -> "${body.caseName()}:${body.status.caseName()}"
    is PortalEvent.PaymentStatusUpdate -> "${body.caseName()}:${body.status.caseName()}"
    else -> body.caseName()
}

/** The name of a case, as the scenario writes it. */
private fun Any.caseName(): String =
    checkNotNull(this::class.simpleName).replace(Regex("(?<=[a-z])(?=[A-Z])"), "_").lowercase()
