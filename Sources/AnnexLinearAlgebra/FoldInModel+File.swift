package import AnnexCore
import Foundation

/// Reads and writes `foldin.bin`, all little-endian: `ANNEXFLD`, then uint32 format (1), method (1 ALS, 2 ridge),
/// dimension and 0, then float64 regularization and alpha (0 for ridge), then for ALS YᵀY, dimension × dimension
/// float64.
extension FoldInModel {
    private static let mark: [UInt8] = Array("ANNEXFLD".utf8)
    private static let format: UInt32 = 1
    private static let headerBytes = 40

    /// Returns the bytes of a file; `dimension` must be a possible one.
    package static func byteCount(_ method: Method, dimension: Int) -> Int {
        guard case .als = method else { return Self.headerBytes }
        return Self.headerBytes + dimension * dimension * 8
    }

    /// Returns the file's bytes. O(dimension²).
    package var encoded: [UInt8] {
        var bytes = Self.mark
        bytes.reserveCapacity(Self.headerBytes + self.gram.count * 8)
        let alpha: Double
        let number: UInt32
        switch self.method {
        case .als(_, let given): (number, alpha) = (1, given)
        case .ridge: (number, alpha) = (2, 0)
        }
        func put<T: FixedWidthInteger>(_ value: T) {
            for shift in stride(from: 0, to: T.bitWidth, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: value >> shift))
            }
        }
        for value in [Self.format, number, UInt32(self.dimension), 0] { put(value) }
        for value in [self.method.regularization, alpha] + self.gram { put(value.bitPattern) }
        return bytes
    }

    /// Reads and checks a file: at most 128 MiB, once its length is that of a matrix of `dimension`. Blocks.
    ///
    /// - Parameter bias: of the version, which the file does not say.
    /// - Throws: `.damaged` for another length, format or dimension, and for values that `init` refuses.
    package static func load(
        path: String,
        dimension: Int,
        bias: ModelBias? = nil
    ) throws(AnnexError) -> FoldInModel {
        func damaged(_ why: String) -> AnnexError {
            AnnexError(.damaged, why, at: path, hint: "Build the version again, or roll back")
        }
        let possible = [Self.headerBytes, Self.headerBytes + dimension * dimension * 8]
        let size = (try? FileManager.default.attributesOfItem(atPath: path))?[.size] as? Int
        guard let size, possible.contains(size), let data = FileManager.default.contents(atPath: path),
            data.count == size
        else { throw damaged("is missing, or its length is not that of \(dimension) dimensions") }
        let bytes = [UInt8](data)
        /// Reads a little-endian number. It lies within the file, as its length was compared.
        func number<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: T.Type) -> T {
            T(
                littleEndian: unsafe bytes.withUnsafeBytes {
                    unsafe $0.loadUnaligned(fromByteOffset: offset, as: T.self)
                }
            )
        }
        guard bytes.starts(with: Self.mark), number(8, UInt32.self) == Self.format,
            number(20, UInt32.self) == 0
        else {
            throw damaged("is not of a format that this program reads")
        }
        guard number(16, UInt32.self) == dimension else { throw damaged("is of another dimension than \(dimension)") }
        let (regularization, alpha) = (
            Double(bitPattern: number(24, UInt64.self)), Double(bitPattern: number(32, UInt64.self))
        )
        let method: Method
        switch number(12, UInt32.self) {
        case 1: method = .als(regularization: regularization, alpha: alpha)
        case 2 where alpha == 0: method = .ridge(regularization: regularization)
        default: throw damaged("has an unknown method")
        }
        let gram = stride(from: Self.headerBytes, to: size, by: 8).map { Double(bitPattern: number($0, UInt64.self)) }
        do throws(AnnexError) {
            return try FoldInModel(method: method, dimension: dimension, gram: gram, bias: bias)
        } catch {
            throw damaged("has an impossible value: " + error.message)
        }
    }
}
