package cc.getportal.sdk

import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.withContext

/** Starts a client, does [block] with it, and shuts it down, whatever happens. */
suspend fun <R> withClient(
    keypair: Keypair,
    options: ClientOptions,
    block: suspend (Client) -> R,
): R = Client.start(keypair, options).use { client ->
    try {
        block(client)
    } finally {
        withContext(NonCancellable) { client.shutdown() }
    }
}

/** Starts a service, does [block] with it, and shuts it down, whatever happens. */
suspend fun <R> withService(
    keypair: Keypair,
    options: ServiceOptions,
    block: suspend (Service) -> R,
): R = Service.start(keypair, options).use { service ->
    try {
        block(service)
    } finally {
        withContext(NonCancellable) { service.shutdown() }
    }
}
