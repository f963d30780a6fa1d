import AnnexCore

/// Describes the first 64 bytes of `serving.bin`.
enum ScanHeader {
    private static let metrics: [Metric] = [.ip, .l2, .cosine]

    static func encode(_ shape: ScanShape) -> [UInt8] {
        let metric = UInt64(Self.metrics.firstIndex(of: shape.metric) ?? 0)
        let numbers: [UInt64] = [
            ScanShape.magic, UInt64(ScanShape.format) | metric << 32, UInt64(shape.rows), UInt64(shape.dimension),
            UInt64(shape.blocks), UInt64(shape.headBlocks), UInt64(shape.clusters),
            shape.isGraph ? UInt64(shape.links) + 1 : 0,
        ]
        return numbers.flatMap { number in (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
    }

    /// Returns nil where it is no header of a known format, or its counts make no sense.
    static func decode(_ bytes: [UInt8]) -> (shape: ScanShape, format: UInt32)? {
        let numbers = (0..<8).map { index in
            (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[index * 8 + $1]) << (8 * $1) }
        }
        let format = UInt32(truncatingIfNeeded: numbers[1])
        guard numbers[0] == ScanShape.magic, (ScanShape.formatWithNarrowBounds...ScanShape.format).contains(format),
            Self.metrics.indices.contains(Int(clamping: numbers[1] >> 32)),
            numbers[2...7].allSatisfy({ $0 <= UInt64(UInt32.max) })
        else { return nil }
        let metric = Self.metrics[Int(numbers[1] >> 32)]
        let shape = ScanShape(
            metric: metric,
            rows: Int(numbers[2]),
            dimension: Int(numbers[3]),
            blocks: Int(numbers[4]),
            headBlocks: Int(numbers[5]),
            clusters: Int(numbers[6]),
            arrangement: numbers[7] == 0 ? .blocks : .graph(links: Int(numbers[7]) - 1)
        )
        return shape.isPossible ? (shape, format) : nil
    }
}
