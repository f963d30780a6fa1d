package import AnnexCore
package import AnnexServer
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

    /// A file's bytes, or why there are none.
    private typealias Reading = Result<Data, AnnexError>

    private struct Seen {
        /// What the last look saw, and what was judged last: adopted, or refused.
        var reading: Reading
        var judged: Reading
        /// The cluster follows this file: it was adopted last.
        var adopted: TopologyFile
        /// Says why what was judged last is not followed. It is nil where it is followed.
        var refusal: AnnexError?
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
            Seen(reading: .success(first.bytes), judged: .success(first.bytes), adopted: first)
        )
    }

    /// Says what INFO tells of the file.
    package var section: InfoSection {
        let refusal = self.seen.withLock { $0.refusal }
        return InfoSection(
            "Topology",
            [
                ("topology_file", Printable.escape(self.path, limit: 300)),
                ("topology_refused", refusal.map { Printable.escape("\($0)", limit: 300) } ?? ""),
            ]
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
        guard let (reading, before) = self.due() else { return nil }
        let outcome: Result<ClusterTopology?, AnnexError>
        do throws(AnnexError) { outcome = .success(try self.judge(reading, after: before, adopt)) } catch {
            outcome = .failure(error)
        }
        self.seen.withLock { seen in
            if case .failure(let error) = outcome { seen.refusal = error } else { seen.refusal = nil }
        }
        return try outcome.get()
    }

    /// What is to be judged now, and what was adopted before it; nil for nothing.
    private func due() -> (Reading, TopologyFile)? {
        let now: Reading
        do throws(AnnexError) { now = .success(try TopologyFile.read(self.path)) } catch { now = .failure(error) }
        let hasNames = (try? now.get()).map { String(decoding: $0, as: UTF8.self).contains(ServiceRecords.prefix) }
        return self.seen.withLock { seen in
            let last = seen.reading
            seen.reading = now
            seen.age += 1
            // It may be written at this moment, and make sense so far: a later look sees whether it stays.
            guard last == now else { return nil }
            guard seen.judged != now || (seen.age > Self.namesEvery && hasNames ?? false) else { return nil }
            seen.age = 0
            seen.judged = now
            return (now, seen.adopted)
        }
    }

    private func judge(
        _ reading: Reading,
        after before: TopologyFile,
        _ adopt: Adopt
    ) throws(AnnexError) -> ClusterTopology? {
        let file = try TopologyFile(try reading.get(), at: self.path)
        let isOther = file.topology != before.topology
        guard isOther || file.router != before.router else { return nil }
        if isOther, before.bytes != file.bytes, file.topology.epoch <= before.topology.epoch {
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
        self.seen.withLock { $0.adopted = file }
        return isOther ? file.topology : nil
    }
}
