/// Decodes float16, float32 and float64 of either byte order as float32.
struct FloatDecoder {
    /// An element has 2, 4 or 8 bytes.
    let itemBytes: Int
    let bigEndian: Bool

    static let float32 = FloatDecoder(itemBytes: 4, bigEndian: false)

    /// `bytes` holds whole elements.
    func append(_ bytes: Span<UInt8>, to values: inout [Float]) {
        let count = bytes.count / self.itemBytes
        // Each element lies within `bytes` by the count.
        unsafe bytes.withUnsafeBytes { bytes in
            switch self.itemBytes {
            case 2: for index in 0..<count { values.append(Self.half(unsafe self.bits(bytes, index))) }
            case 4: for index in 0..<count { values.append(Float(bitPattern: unsafe self.bits(bytes, index))) }
            default:
                for index in 0..<count { values.append(Float(Double(bitPattern: unsafe self.bits(bytes, index)))) }
            }
        }
    }

    /// Turns column-major elements into row-major floats. `bytes` holds `columns` strips of `rows` elements each; they
    /// become columns `first...` of `values`, which has rows of `dimension` floats.
    func scatter(
        _ bytes: [UInt8],
        rows: Int,
        columns: Int,
        into values: inout [Float],
        first: Int,
        dimension: Int
    ) {
        precondition(bytes.count >= rows * columns * self.itemBytes)
        precondition(first + columns <= dimension && values.count >= rows * dimension)
        // By both preconditions every index below lies within its buffer.
        unsafe bytes.withUnsafeBytes { bytes in
            unsafe values.withUnsafeMutableBufferPointer { values in
                for row in 0..<rows {
                    let target = row * dimension + first
                    for column in 0..<columns {
                        unsafe values[target + column] = unsafe self.value(bytes, column * rows + row)
                    }
                }
            }
        }
    }

    @inline(__always)
    private func value(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> Float {
        switch self.itemBytes {
        case 2: Self.half(unsafe self.bits(bytes, index))
        case 4: Float(bitPattern: unsafe self.bits(bytes, index))
        default: Float(Double(bitPattern: unsafe self.bits(bytes, index)))
        }
    }

    @inline(__always)
    private func bits<T: FixedWidthInteger & BitwiseCopyable>(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> T {
        let raw = unsafe bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.size, as: T.self)
        return self.bigEndian ? T(bigEndian: raw) : T(littleEndian: raw)
    }

    /// Decodes IEEE 754 binary16, exactly.
    private static func half(_ bits: UInt16) -> Float {
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        let exponent = Int(bits >> 10 & 0x1f)
        let fraction = Float(bits & 0x3ff)
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * Float(sign: .plus, exponent: exponent - 25, significand: 1024 + fraction)
        }
    }
}
