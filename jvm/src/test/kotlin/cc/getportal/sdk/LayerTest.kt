package cc.getportal.sdk

import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.assertThrows

/** What the hand-written layer adds: flows, lifetimes, errors. */
class LayerTest {
    @Test
    fun `flows acknowledge what their collector is done with`() = Relay().use { relay ->
        val relays = listOf(relay.url)
        val (merchant, person) = Keypair.generate() to Keypair.generate()
        bounded {
            withService(merchant, ServiceOptions(relays, allowPrivateRelays = true)) { service ->
                withClient(person, ClientOptions(relays, allowPrivateRelays = true)) { client ->
                    while ((service.relays() + client.relays()).any { it.state != RelayState.CONNECTED }) delay(10)
                    val login = service.authenticateKey(person.publicKey().npub, listOf())
                    val first = client.requestFlow().first()
                    assertEquals(listOf(first.id), client.requests().use { it.all() }.map { it.id })
                    client.replyLogin(first.id, LoginStatus.Declined(null))
                    val events = service.eventFlow(login).toList()
                    assertEquals(listOf(0uL), events.map { it.index })
                    assertEquals(events, service.eventFlow(login).toList())
                    assertTrue(service.eventFlow(login, after = 0uL).toList().isEmpty())
                }
            }
        }
    }

    @Test
    fun `giving up waiting loses nothing`() = Relay().use { relay ->
        val relays = listOf(relay.url)
        val (merchant, person) = Keypair.generate() to Keypair.generate()
        bounded {
            withService(merchant, ServiceOptions(relays, allowPrivateRelays = true)) { service ->
                withClient(person, ClientOptions(relays, allowPrivateRelays = true)) { client ->
                    while ((service.relays() + client.relays()).any { it.state != RelayState.CONNECTED }) delay(10)
                    val events = service.stream(service.authenticateKey(client.mainKey(), listOf()), null)
                    assertNull(withTimeoutOrNull(50) { events.next() })
                    val request = client.requestFlow().first()
                    client.replyLogin(request.id, LoginStatus.Declined("no"))
                    assertEquals(0uL, events.next()?.index)
                }
            }
        }
    }

    @Test
    fun `a service is shut down when its block fails`() = bounded {
        lateinit var kept: EventStream
        assertThrows<IllegalStateException> {
            withService(Keypair.generate(), ServiceOptions(listOf())) { service ->
                val login = service.authenticateKey(Keypair.generate().publicKey().hex, listOf())
                kept = service.stream(login, null)
                error("on purpose")
            }
        }
        val error = assertThrows<PortalException> { kept.next() }
        assertEquals(ErrorCode.SHUTTING_DOWN, error.code)
        assertTrue(error.isRetryable)
    }

    @Test
    fun `what cannot be is refused with a code`() {
        val error = assertThrows<PortalException> { Keypair.parse("nsec1") }
        assertEquals(ErrorCode.INVALID_KEY, error.code)
        assertFalse(error.isRetryable)
    }

    private fun bounded(block: suspend () -> Unit) = runBlocking { withTimeout(60.seconds) { block() } }
}
