import Logging
import Synchronization

/// Keeps the parts that a node has begun, and knows how each of them ends.
///
/// A part is added before it begins, and parts end in the reverse order. So a start that fails halfway and a stop go
/// the same way, and whatever is added later uses only what still runs. Any thread may use it.
final class NodeParts: Sendable {
    private struct Part {
        let name: String
        let end: @Sendable () async -> Void
    }

    private let parts = Mutex<[Part]>([])

    /// - Parameter end: called once; must do no harm where the part never began.
    func add(_ name: String, _ end: @escaping @Sendable () async -> Void) {
        self.parts.withLock { $0.append(Part(name: name, end: end)) }
    }

    /// Ends the last part first, each before the one before it. What a second call finds is nothing.
    func end(_ logger: Logger) async {
        while let part = self.parts.withLock({ $0.popLast() }) {
            await part.end()
            logger.debug("Ended", metadata: ["part": "\(part.name)"])
        }
    }
}
