import AnnexBuild
import AnnexCore
import AnnexEngine
import Logging
import Synchronization

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
    private let seconds: Double
    private let timer = RepeatingTimer("annex-watch")

    /// - Parameter served: what was served when the links were last known to be right.
    init(_ folders: [EntryName: String], _ engine: Engine, every seconds: Double, _ logger: Logger) {
        self.folders = folders.map { ($0.key, $0.value) }
        self.engine = engine
        self.logger = logger
        self.seconds = seconds
        var seen: [EntryName: EntryName] = [:]
        for version in engine.versions { seen[version.description.index] = version.description.version }
        self.seen = Mutex(seen)
    }

    func start() { self.timer.start(every: self.seconds) { [weak self] in self?.look() } }

    /// Begins to load nothing any more; does not wait for what is being loaded.
    func stop() { self.timer.stop() }

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

    /// Tells whether a load that the system refused is to be tried again. It says so once.
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
