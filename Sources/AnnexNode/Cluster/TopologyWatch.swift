package import AnnexCore
import Foundation
package import Logging
import Synchronization

/// Looks at a topology's file now and then, and tells what it says when that is new and sound.
///
/// It adopts what two looks in a row saw, as a file may be read while it is written. At every fifth look it also asks the DNS about
/// the file's `srv:` names.
package final class TopologyWatch: Sendable {
    /// A throw means that the topology before stays.
    package typealias Adopt = @Sendable (TopologyFile) throws(AnnexError) -> Void

    private static let namesEvery = 5

    private struct Seen {
        /// Holds the bytes that the last look saw, and those that were judged last: adopted, or refused.
        var bytes: Data?
        var judged: Data?
        /// Holds the topology that was adopted last, and its bytes.
        var topology: ClusterTopology
        var adopted: Data?
        /// Looks since the names were looked up.
        var age = 0
    }

    let path: String
    private let seconds: Double
    private let logger: Logger
    private let seen: Mutex<Seen>
    private let timer = RepeatingTimer("annex-topology")
    /// Held while something is adopted.
    private let isStopped = Mutex(false)

    /// - Parameter first: what is followed already.
    package init(_ path: String, first: TopologyFile, every seconds: Double, _ logger: Logger) {
        self.path = path
        self.seconds = seconds
        self.logger = logger
        self.seen = Mutex(
            Seen(bytes: first.bytes, judged: first.bytes, topology: first.topology, adopted: first.bytes)
        )
    }

    /// - Parameter adopt: called on a thread of the watch's own.
    func start(_ adopt: @escaping Adopt) {
        self.timer.start(every: self.seconds) { [weak self] in self?.follow(adopt) }
    }

    /// Nothing is adopted any more when this returns. Does not wait for a look that waits for the DNS; not to be called by `adopt`.
    package func stop() {
        self.isStopped.withLock { $0 = true }
        self.timer.stop()
    }

    private func follow(_ adopt: Adopt) {
        do throws(AnnexError) {
            guard let topology = try self.look(adopt) else { return }
            self.logger.info("Topology changed", metadata: ["epoch": "\(topology.epoch)"])
        } catch {
            self.logger.error(
                "A new topology was refused, the one before stays",
                metadata: ["file": "\(self.path)", "reason": "\(error)"]
            )
        }
    }

    /// Looks once.
    ///
    /// - Returns: what was adopted; nil where nothing is new.
    /// - Throws: why what is new was refused. It is not judged again before it changes.
    @discardableResult package func look(_ adopt: Adopt) throws(AnnexError) -> ClusterTopology? {
        guard let now = FileManager.default.contents(atPath: self.path) else { return nil }
        let before = self.seen.withLock { seen in
            defer {
                seen.bytes = now
                seen.age += 1
            }
            return seen
        }
        // It may be written at this moment, and make sense so far: a later look sees whether it stays.
        guard before.bytes == now else { return nil }
        let isNew = before.judged != now
        let hasNames = String(decoding: now, as: UTF8.self).contains(ServiceRecords.prefix)
        guard isNew || (before.age >= Self.namesEvery && hasNames) else { return nil }
        self.seen.withLock { seen in
            seen.age = 0
            seen.judged = now
        }
        let file = try TopologyFile(now, at: self.path)
        guard file.topology != before.topology else { return nil }
        if before.adopted != now, file.topology.epoch <= before.topology.epoch {
            throw AnnexError(
                .usage,
                "epoch is \(file.topology.epoch) and was \(before.topology.epoch)",
                at: self.path,
                hint: "Let it grow with each change, so that an old file is known as one"
            )
        }
        let isAdopted = try self.isStopped.withLock { isStopped throws(AnnexError) in
            if !isStopped { try adopt(file) }
            return !isStopped
        }
        guard isAdopted else { return nil }
        self.seen.withLock { seen in
            seen.topology = file.topology
            seen.adopted = now
        }
        return file.topology
    }
}
