import AnnexBuild
import AnnexCore
import AnnexEngine
import AnnexLog
import AnnexStore
import Dispatch
import Logging

/// Makes served versions of what lies on the disk, with the state and the log of each index.
struct VersionLoader: Sendable {
    let folders: [EntryName: String]
    let states: [EntryName: StateStore]
    let logs: [EntryName: LogFollower]
    let searching: SearchEngine
    /// It is nil where unknown users get an error.
    let decay: PopularItems.Decay?
    let logger: Logger

    /// Verifies, loads and warms a version. Blocks.
    ///
    /// - Parameter version: nil stands for what `current` names.
    func load(_ index: EntryName, _ version: EntryName?) throws -> ServedVersion {
        guard let folder = self.folders[index] else {
            throw AnnexError(.notFound, "no index '\(index)' is served")
        }
        let begin = DispatchTime.now().uptimeNanoseconds
        let verified = try Verifier.verify(indexFolder: folder, version: version)
        let served = try VersionLoading.load(
            verified,
            as: index,
            engine: self.searching,
            state: self.states[index],
            log: self.logs[index],
            serves: true
        )
        if let decay { try served.countPopular(decay) }
        self.logger.info(
            "Loaded",
            metadata: [
                "index": "\(index)", "version": "\(verified.version)", "items": "\(verified.manifest.items)",
                "users": "\(verified.manifest.users)", "recall": "\(verified.manifest.measured.reportedRecall)",
                "milliseconds": "\((DispatchTime.now().uptimeNanoseconds - begin) / 1_000_000)",
            ]
        )
        return served
    }
}
