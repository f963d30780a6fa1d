import AnnexCore
import NIOCore
import NIOPosix

/// Makes durable what a run came to, on a thread of its own: first the rejects, then the progress that counts them.
///
/// Unchecked because one save follows the other, and nobody else has the file of rejects meanwhile.
final class IngestKeeper: @unchecked Sendable {
    private let path: String
    private let rejects: IngestRejects
    /// Holds the progress that was saved last.
    private(set) var saved: IngestProgress?

    init(_ path: String, _ rejects: IngestRejects) { (self.path, self.rejects) = (path, rejects) }

    /// Blocks.
    ///
    /// - Parameter lines: what the file of rejects gets behind what it has.
    func save(_ progress: IngestProgress, _ lines: [UInt8]) throws(AnnexError) {
        try self.rejects.append(lines)
        var progress = progress
        progress.rejectsBytes = self.rejects.bytes
        if progress != self.saved { try progress.write(self.path) }
        self.saved = progress
        if progress.isFinished { self.rejects.removeIfEmpty() }
    }
}
