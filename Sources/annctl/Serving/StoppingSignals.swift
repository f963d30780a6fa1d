import Dispatch
import Foundation

/// SIGINT and SIGTERM, as often as they come, instead of the end of the process.
final class StoppingSignals {
    private let sources: [any DispatchSourceSignal]

    /// - Parameter handle: gets the signal's name, on another thread.
    init(_ handle: @escaping @Sendable (String) -> Void) {
        self.sources = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")].map { number, name in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { handle(name) }
            source.resume()
            return source
        }
    }

    func end() { for source in self.sources { source.cancel() } }
}
