/// Who walks the pages of a state before it is opened.
package enum PageChecking: Sendable {
    /// The process that opens the state walks its pages.
    case here
    /// Checks by a function that is called with the folder while its lock is held.
    case elsewhere(@Sendable (_ folder: String) throws -> Void)
    /// Nobody walks the pages, as they were walked already.
    case done
}

package struct StateSettings: Sendable {
    /// Address space to begin with; twice the file's size where that is more. It grows by itself.
    package var mapBytes = 16 << 20
    /// Changes of one commit, at most.
    package var groupLimit = 4_096
    /// A user with more events than this gets an index of them by item.
    package var walkLimit = 1_000
    /// Changes that wait for the writer, at most.
    package var waitingLimit = 65_536
    /// At most so many readers may be open at a time. Each takes 64 bytes.
    package var readerLimit = 1_024
    /// Events are refused from this share of the file system on, 0 to 1.
    package var fullShare = 0.95
    /// Tells whether every record is read after the opening, on a thread of its own. Until then removing walks a user's
    /// events.
    package var checksRecords = true
    /// Says how long to wait for another process to let go of the state.
    package var lockPatience = Duration.zero
    /// Who walks all pages of the file before it is opened, O(pages).
    package var pageCheck = PageChecking.here
    /// Takes what a person should know, a sentence each. Any thread may call it; it must not block.
    package var notice: @Sendable (String) -> Void = { _ in }
    /// With nil a change is answered when it is durable. Otherwise events are answered when they wait for the writer,
    /// which commits at most so often: what is not committed is not read, and is lost with the process. Removing and
    /// forgetting are answered when they are durable, in any case.
    package var interval: Duration?

    package init() {}
}
