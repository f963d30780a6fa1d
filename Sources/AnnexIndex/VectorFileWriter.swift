package import AnnexCore
import CAnnexKernels
import Glibc

/// Writes `vectors.f32`: rows in any order, each at its ordinal, then the norms.
///
/// It holds one float per row (the norm) and one padded row. One thread uses it.
package final class VectorFileWriter {
    private let path: String
    private let rows: Int
    private let dimension: Int
    private let stride: Int
    private let descriptor: Int32
    private var padded: [Float]
    private var norms: [Float]

    /// Makes a new file.
    package init(path: String, rows: Int, dimension: Int) throws(AnnexError) {
        guard (1...Limits.maximumItems).contains(rows), (1...Limits.maximumDimension).contains(dimension),
            let byteCount = VectorFile.byteCount(rows: rows, dimension: dimension)
        else { throw AnnexError(.limit, "impossible size: \(rows) rows of \(dimension)", at: path) }
        self.path = path
        self.rows = rows
        self.dimension = dimension
        self.stride = VectorFile.stride(forDimension: dimension)
        self.padded = [Float](repeating: 0, count: self.stride)
        self.norms = [Float](repeating: 0, count: rows)
        self.descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard self.descriptor >= 0 else { throw SystemFailure.error("cannot make the file", at: path) }
        guard ftruncate(self.descriptor, byteCount) == 0 else { throw SystemFailure.error("cannot grow", at: path) }
    }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    /// - Parameter row: `dimension` finite floats.
    package func write(row: Span<Float>, ordinal: Int) throws(AnnexError) {
        precondition(row.count == self.dimension && ordinal >= 0 && ordinal < self.rows, "row out of range")
        var sum: Double = 0
        for index in 0..<self.dimension {
            let value = row[index]
            self.padded[index] = value
            sum += Double(value) * Double(value)
        }
        self.norms[ordinal] = Float(sum.squareRoot())
        try self.put(self.padded, at: ordinal * self.stride)
    }

    /// Writes the norms and flushes all to the disk.
    package func finish() throws(AnnexError) {
        try self.put(self.norms, at: self.rows * self.stride)
        guard fsync(self.descriptor) == 0 else { throw SystemFailure.error("cannot flush", at: self.path) }
    }

    private func put(_ floats: [Float], at offset: Int) throws(AnnexError) {
        let failed: Bool = unsafe floats.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let written = unsafe pwrite(
                    self.descriptor,
                    bytes.baseAddress! + done,
                    bytes.count - done,
                    offset * 4 + done
                )
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return true }
                done += written
            }
            return false
        }
        if failed { throw SystemFailure.error("cannot write", at: self.path) }
    }
}
