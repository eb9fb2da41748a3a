package cc.getportal.sdk

import com.google.gson.JsonParser
import java.io.File
import java.util.concurrent.TimeUnit

/** A relay on loopback that ends with its standard input, so at the latest with this process. */
class Relay : AutoCloseable {
    private val process = ProcessBuilder(program()).redirectError(ProcessBuilder.Redirect.INHERIT).start()

    val url: String =
        JsonParser.parseString(process.inputReader().readLine()).asJsonObject["url"].asString

    override fun close() {
        process.outputStream.close()
        check(process.waitFor(10, TimeUnit.SECONDS)) { "the relay does not end" }
    }

    private fun program(): String =
        System.getenv("PORTAL_TESTKIT_RELAY")
            ?: File(System.getProperty("portal.native.dir"), "portal-testkit-relay").path
}
