import AnnexCore
import AnnexIndex
import Foundation

/// Keeps attributes on their way from their file, in any order, to `items.lmdb`, in order of ordinals. The texts wait
/// in a file, and only where each lies stays in memory (12 bytes an item). One thread uses it; the file goes with the
/// object.
final class AttributeSpool {
    private let path: String
    private let descriptor: Int32
    private var offsets: [Int]
    private var lengths: [Int32]
    private var pending: [UInt8] = []
    private var flushed = 0
    /// Counts items that have attributes.
    private(set) var count = 0

    /// Makes a new file at `path`.
    init(path: String, items: Int) throws(AnnexError) {
        self.path = path
        self.offsets = [Int](repeating: 0, count: items)
        self.lengths = [Int32](repeating: -1, count: items)
        self.descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else { throw SystemFailure.error("cannot make the file", at: path) }
    }

    deinit {
        if self.descriptor >= 0 {
            close(self.descriptor)
            unsafe unlink(self.path)
        }
    }

    func contains(_ ordinal: Int) -> Bool { self.lengths[ordinal] >= 0 }

    /// - Parameter json: below 2 GiB; `ordinal` has none yet.
    func put(_ json: [UInt8], at ordinal: Int) throws(AnnexError) {
        guard let length = Int32(exactly: json.count) else {
            throw AnnexError(
                .limit,
                "the attributes of one item have \(json.count) bytes, and must have less than 2 GiB"
            )
        }
        self.offsets[ordinal] = self.flushed + self.pending.count
        self.lengths[ordinal] = length
        self.count += 1
        self.pending += json
        if self.pending.count > 1 << 20 { try self.flush() }
    }

    /// Returns the text of an item; nil where it has none.
    func text(of ordinal: Int) throws(AnnexError) -> [UInt8]? {
        guard self.contains(ordinal) else { return nil }
        try self.flush()
        var text = [UInt8](repeating: 0, count: Int(self.lengths[ordinal]))
        try self.transfer(text.count) { [offset = self.offsets[ordinal]] done in
            unsafe text.withUnsafeMutableBytes { buffer in
                unsafe pread(
                    self.descriptor,
                    buffer.baseAddress.map { unsafe $0 + done },
                    buffer.count - done,
                    offset + done
                )
            }
        }
        return text
    }

    private func flush() throws(AnnexError) {
        guard !self.pending.isEmpty else { return }
        try self.transfer(self.pending.count) { done in
            unsafe self.pending.withUnsafeBytes { buffer in
                unsafe pwrite(
                    self.descriptor,
                    buffer.baseAddress.map { unsafe $0 + done },
                    buffer.count - done,
                    self.flushed + done
                )
            }
        }
        self.flushed += self.pending.count
        self.pending.removeAll(keepingCapacity: true)
    }

    private func transfer(_ count: Int, _ step: (Int) -> Int) throws(AnnexError) {
        var done = 0
        while done < count {
            let moved = step(done)
            if moved < 0, errno == EINTR { continue }
            guard moved > 0 else { throw SystemFailure.error("cannot keep the attributes", at: self.path) }
            done += moved
        }
    }
}
