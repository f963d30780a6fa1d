package import AnnexCore
import Synchronization

extension ServedVersion {
    /// Counts anew what is popular. Blocks; O(interactions + events) at first, and where anything of the state has changed O(events).
    package func countPopular(_ decay: PopularItems.Decay) throws(AnnexError) {
        let before = self.popular.withLock { $0 }
        let popular = try PopularItems(
            of: self.catalogue,
            self.users,
            decay: decay,
            now: WallClock.milliseconds(),
            after: before
        )
        self.popularityRead.add(popular.readCount, ordering: .relaxed)
        self.popular.withLock { $0 = popular }
    }
}
