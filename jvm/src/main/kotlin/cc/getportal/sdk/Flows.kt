package cc.getportal.sdk

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * What services ask, one after another, until the client stops. A request counts as handled when the
 * collector is done with it; one whose collector throws or is cancelled is given again next time.
 */
fun Client.requestFlow(): Flow<IncomingRequest> = flow {
    requests().use { requests ->
        while (true) {
            val request = requests.next() ?: break
            emit(request)
            requests.handled(request.id)
        }
    }
}

/**
 * The events of a stream from behind [after], or from its first event, until the stream ends. Keep
 * the index of the last event you were done with, to go on from there after a restart.
 */
fun Service.eventFlow(streamId: String, after: ULong? = null): Flow<StreamEvent> = flow {
    stream(streamId, after).use { events ->
        while (true) {
            val event = events.next() ?: break
            emit(event)
            events.acknowledge(event.index)
        }
    }
}
