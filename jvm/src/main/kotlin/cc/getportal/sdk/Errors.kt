package cc.getportal.sdk

/** What to branch on. */
val PortalException.code: ErrorCode
    get() = when (this) {
        is PortalException.Failed -> code
    }

/** Whether the same call may succeed later without a change. */
val PortalException.isRetryable: Boolean
    get() = when (this) {
        is PortalException.Failed -> retryable
    }
