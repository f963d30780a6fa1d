/// The bytes of entries that were read and are not applied yet.
///
/// Entries are counted by the read that brought them: those of one read are let go when as many entries have been applied as had
/// been read up to it.
struct UnappliedBytes: Sendable {
    private static let mostReads = 64

    private(set) var sum = 0
    /// Oldest first: the number of entries that were read up to and with a read, and the bytes of that read.
    private var reads: [(total: UInt64, bytes: Int)] = []

    mutating func read(_ bytes: Int, total: UInt64) {
        guard bytes > 0 else { return }
        self.sum += bytes
        // Many small ones are let go together.
        if self.reads.count < Self.mostReads {
            self.reads.append((total, bytes))
        } else {
            self.reads[self.reads.count - 1] = (total, self.reads[self.reads.count - 1].bytes + bytes)
        }
    }

    mutating func applied(total: UInt64) {
        while let first = self.reads.first, first.total <= total {
            self.sum -= first.bytes
            self.reads.removeFirst()
        }
    }
}
