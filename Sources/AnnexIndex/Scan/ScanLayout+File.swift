package import AnnexCore
import Glibc

/// Reads and writes `serving.bin`: a `ScanHeader`, and the parts of `ScanShape` as they lie in memory.
extension ScanLayout {
    /// Writes `serving.bin`. The caller flushes it to the disk.
    package func write(path: String) throws(AnnexError) {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw SystemFailure.error("cannot make the file", at: path) }
        defer { close(descriptor) }
        var done = 0
        while done < self.mappedBytes {
            let count = unsafe Glibc.write(descriptor, self.base + done, self.mappedBytes - done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw SystemFailure.error("cannot write", at: path) }
            done += count
        }
    }

    /// Reads `serving.bin` into memory of its own and checks every number that a scan follows. O(bytes); blocks.
    ///
    /// - Throws: `.damaged` where it is no layout of `rows` × `dimension` in this metric.
    package static func load(
        path: String,
        metric: Metric,
        rows: Int,
        dimension: Int
    ) throws(AnnexError) -> ScanLayout {
        func damaged(_ what: String) -> AnnexError {
            AnnexError(.damaged, what, at: path, hint: "Run `annctl verify`; build again or roll back")
        }
        let file = try OpenedFile(path: path)
        defer { file.close() }
        var header = [UInt8](repeating: 0, count: ScanShape.headerBytes)
        guard unsafe pread(file.descriptor, &header, header.count, 0) == header.count else {
            throw damaged("is too short")
        }
        guard let (shape, format) = ScanHeader.decode(header) else {
            throw damaged("is no scan layout of format \(ScanShape.formatWithNarrowBounds) or \(ScanShape.format)")
        }
        guard shape.metric == metric, shape.rows == rows, shape.dimension == dimension else {
            throw damaged("is of \(shape.rows) × \(shape.dimension), the manifest says \(rows) × \(dimension)")
        }
        guard file.byteCount == shape.offsets.end else {
            throw damaged("has \(file.byteCount) bytes where its counts take \(shape.offsets.end)")
        }
        let layout = unsafe try Self.make(shape) { memory, offsets throws(AnnexError) in
            var done = 0
            while done < offsets.end {
                let count = unsafe pread(file.descriptor, memory + done, min(offsets.end - done, 1 << 30), done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw SystemFailure.error("cannot read", at: path) }
                done += count
            }
            if format == ScanShape.formatWithNarrowBounds {
                unsafe ScanTarget(memory: memory, offsets: offsets, shape: shape).widenBounds()
            }
        }
        if let problem = layout.structuralProblem() { throw damaged(problem) }
        return layout
    }

    /// Returns the first number that would lead a scan astray; nil where all are right. O(items).
    private func structuralProblem() -> String? {
        let shape = self.shape
        var last = UInt32(shape.headBlocks)
        for cluster in 0...shape.clusters {
            let first = unsafe self.firstBlocks[cluster]
            guard first >= last, Int(first) <= shape.blocks else { return "cluster \(cluster) lies out of bounds" }
            last = first
        }
        guard unsafe self.firstBlocks[0] == shape.headBlocks, last == shape.blocks else {
            return "blocks without a cluster"
        }
        var seen = [Bool](repeating: false, count: shape.rows)
        var count = 0
        for slot in 0..<shape.blocks * ScanShape.blockItems {
            let ordinal = unsafe self.ordinals[slot]
            guard ordinal >= 0 else { continue }
            guard ordinal < shape.rows, !seen[Int(ordinal)] else { return "an item is out of range or stands twice" }
            seen[Int(ordinal)] = true
            count += 1
        }
        guard count == shape.rows else { return "\(shape.rows - count) items are missing" }
        return shape.isGraph ? self.linkProblem() : nil
    }

    private func linkProblem() -> String? {
        let shape = self.shape
        for slot in 0..<shape.rows where unsafe self.ordinals[slot] < 0 { return "an item is missing among others" }
        guard unsafe self.linkStarts[0] == 0, unsafe Int(self.linkStarts[shape.rows]) == shape.links else {
            return "links without an item"
        }
        for slot in 0..<shape.rows where unsafe self.linkStarts[slot] > self.linkStarts[slot + 1] {
            return "links of an item lie out of bounds"
        }
        var lastNamed = [Int32](repeating: -1, count: shape.rows)
        for slot in 0..<shape.rows {
            for link in unsafe Int(self.linkStarts[slot])..<Int(self.linkStarts[slot + 1]) {
                let other = unsafe Int(self.links[link])
                guard lastNamed.indices.contains(other) else { return "a link leads nowhere" }
                guard lastNamed[other] != slot else { return "an item has the same link twice" }
                lastNamed[other] = Int32(truncatingIfNeeded: slot)
            }
        }
        return nil
    }
}
