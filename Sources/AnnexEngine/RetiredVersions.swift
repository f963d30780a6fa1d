import Dispatch
import Synchronization

/// Keeps versions that are served no more until nobody uses them. Freeing one takes milliseconds for each GiB of its
/// files that was in use, which is nothing for an event loop to do. Any thread may use it.
final class RetiredVersions: Sendable {
    private static let interval = DispatchTimeInterval.milliseconds(20)

    private let versions = Mutex<[ServedVersion]>([])
    private let queue = DispatchQueue(label: "annex-retired", qos: .background)

    func take(_ version: ServedVersion) {
        let isFirst = self.versions.withLock { versions in
            versions.append(version)
            return versions.count == 1
        }
        if isFirst { self.lookSoon() }
    }

    /// Counts versions that somebody still uses.
    var count: Int { self.versions.withLock { $0.count } }

    private func lookSoon() {
        self.queue.asyncAfter(deadline: .now() + Self.interval) { [weak self] in self?.look() }
    }

    private func look() {
        var unused: [ServedVersion] = []
        let isEmpty = self.versions.withLock { versions in
            for index in versions.indices.reversed() where isKnownUniquelyReferenced(&versions[index]) {
                unused.append(versions.remove(at: index))
            }
            return versions.isEmpty
        }
        // Versions are freed here, outside the lock.
        unused.removeAll()
        if !isEmpty { self.lookSoon() }
    }
}
