import Foundation
import Logging
import Synchronization

/// Writes the server's log to stderr on a thread of its own: whoever reads it may be slow, and an event loop must not wait for
/// that. Any thread may submit.
///
/// Where more than `mostWaiting` lines wait, new ones are dropped. The next line that is written says how many.
final class LogWriter: Sendable {
    static let shared = LogWriter()
    private static let mostWaiting = 10_000

    private struct State {
        var waiting: [@Sendable () -> Void] = []
        var dropped = 0
        var isStarted = false
    }

    private let state = Mutex(State())
    private let work = DispatchSemaphore(value: 0)

    func submit(_ write: @escaping @Sendable () -> Void) {
        let isFirst = self.state.withLock { state -> Bool in
            guard state.waiting.count < Self.mostWaiting else {
                state.dropped += 1
                return false
            }
            state.waiting.append(write)
            defer { state.isStarted = true }
            return !state.isStarted
        }
        if isFirst {
            let thread = Thread { [self] in self.run() }
            thread.name = "annex-log"
            thread.start()
        }
        self.work.signal()
    }

    /// Waits until what was submitted before is written, at most `seconds`.
    func flush(within seconds: Double = 1) {
        let end = DispatchSemaphore(value: 0)
        self.submit { end.signal() }
        _ = end.wait(timeout: .now() + seconds)
    }

    private func run() {
        while true {
            self.work.wait()
            let (lines, dropped) = self.state.withLock { state in
                defer {
                    state.waiting.removeAll(keepingCapacity: true)
                    state.dropped = 0
                }
                return (state.waiting, state.dropped)
            }
            for line in lines { line() }
            guard dropped > 0 else { continue }
            let text = "annex: \(dropped) lines of the log were dropped: whoever reads stderr is too slow\n"
            FileHandle.standardError.write(Data(text.utf8))
        }
    }
}

/// Hands each line to the writer; the library's own handler formats it there.
struct BackgroundLogHandler: LogHandler {
    private var base: StreamLogHandler

    init(label: String) { self.base = StreamLogHandler.standardError(label: label) }

    var logLevel: Logger.Level {
        get { self.base.logLevel }
        set { self.base.logLevel = newValue }
    }

    var metadata: Logger.Metadata {
        get { self.base.metadata }
        set { self.base.metadata = newValue }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.base[metadataKey: key] }
        set { self.base[metadataKey: key] = newValue }
    }

    func log(event: LogEvent) {
        let base = self.base
        LogWriter.shared.submit { base.log(event: event) }
    }
}
