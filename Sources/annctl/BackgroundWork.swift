import AnnexBuild
import AnnexCore
import AnnexEngine
import Foundation
import Glibc
import Logging
import Synchronization

/// Runs `body` on a thread of its own that gives way to those that answer clients. Blocks until it is done.
enum LowPriorityThread {
    private static let niceness: Int32 = 10

    static func run<R: Sendable>(_ body: @escaping @Sendable () throws -> R) throws -> R {
        let result = Mutex<Result<R, any Error>?>(nil)
        let end = DispatchSemaphore(value: 0)
        let thread = Thread {
            // Of this thread only, and of those that it starts.
            setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, Self.niceness)
            let outcome = Result { try body() }
            result.withLock { $0 = outcome }
            end.signal()
        }
        thread.name = "annex-loader"
        thread.stackSize = 4 << 20
        thread.start()
        end.wait()
        guard let outcome = result.withLock({ $0.take() }) else {
            throw AnnexError(.system, "a thread ended without a result")
        }
        return try outcome.get()
    }
}

/// Looks at what `current` names, now and then, and has a version that was published loaded and served.
///
/// It acts on changes of the link only: a version that RELOAD chose stays until the next one is published, and one that
/// was refused is not tried again before that. Where the system refused, as it does without memory or descriptors, it is tried
/// again after a while.
final class VersionWatch: Sendable {
    private let folders: [(index: EntryName, folder: String)]
    private let engine: Engine
    private let logger: Logger
    private static let retrySeconds: Int64 = 10
    private let seen: Mutex<[EntryName: EntryName]>
    private let retries = Mutex<[EntryName: ContinuousClock.Instant]>([:])
    /// Only cancelled after it was started, which any thread may do.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    /// - Parameter served: what was served when the links were last known to be right.
    init(_ folders: [EntryName: String], _ engine: Engine, every seconds: Double, _ logger: Logger) {
        self.folders = folders.map { ($0.key, $0.value) }
        self.engine = engine
        self.logger = logger
        var seen: [EntryName: EntryName] = [:]
        for version in engine.versions { seen[version.description.index] = version.description.version }
        self.seen = Mutex(seen)
        let source = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "annex-watch"))
        source.schedule(deadline: .now() + seconds, repeating: seconds)
        self.timer = source
    }

    func start() {
        self.timer.setEventHandler { [weak self] in self?.look() }
        self.timer.resume()
    }

    func stop() { self.timer.cancel() }

    private func look() {
        for (index, folder) in self.folders {
            guard let current = try? PublishedVersions.current(of: folder),
                self.isNew(index, current) || self.isDue(index)
            else {
                continue
            }
            guard !self.engine.versions.contains(where: { self.serves($0, index, current) }) else { continue }
            do {
                let version = try self.engine.reload(index, version: nil)
                self.logger.info("Swapped", metadata: ["index": "\(index)", "version": "\(version)"])
            } catch {
                if let error = error as? AnnexError, error.code == .system || error.code == .busy {
                    self.retries.withLock { $0[index] = .now + .seconds(Self.retrySeconds) }
                }
                self.logger.error(
                    "A new version was refused, the one before is still served",
                    metadata: ["index": "\(index)", "version": "\(current)", "reason": "\(error)"]
                )
            }
        }
    }

    private func serves(_ served: ServedVersion, _ index: EntryName, _ version: EntryName) -> Bool {
        served.description.index == index && served.description.version == version
    }

    /// Whether a load that the system refused is to be tried again. True once.
    private func isDue(_ index: EntryName) -> Bool {
        self.retries.withLock { retries in
            guard let time = retries[index], time <= .now else { return false }
            retries[index] = nil
            return true
        }
    }

    private func isNew(_ index: EntryName, _ current: EntryName) -> Bool {
        self.seen.withLock { $0.updateValue(current, forKey: index) != current }
    }
}

/// Counts anew what is popular, as often as `PopularitySchedule` says, on a thread that gives way.
final class PopularityTimer: Sendable {
    private let engine: Engine
    private let decay: PopularItems.Decay
    private let logger: Logger
    /// Only scheduled and cancelled after it was started, which any thread may do.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    init(_ engine: Engine, _ decay: PopularItems.Decay, _ logger: Logger) {
        self.engine = engine
        self.decay = decay
        self.logger = logger
        self.timer = DispatchSource.makeTimerSource(queue: DispatchQueue(label: "annex-popular"))
        self.timer.schedule(deadline: .now() + PopularitySchedule.leastSeconds)
        self.timer.setEventHandler { [weak self] in self?.count() }
        self.timer.resume()
    }

    func stop() { self.timer.cancel() }

    private func count() {
        let begin = DispatchTime.now().uptimeNanoseconds
        let decay = self.decay
        for version in self.engine.versions {
            do { try LowPriorityThread.run { try version.countPopular(decay) } } catch {
                let index = version.description.index
                self.logger.error("Cannot count events", metadata: ["index": "\(index)", "reason": "\(error)"])
            }
        }
        let spent = Double(DispatchTime.now().uptimeNanoseconds - begin) / 1e9
        self.timer.schedule(deadline: .now() + PopularitySchedule.pause(afterSpending: spent))
    }
}
