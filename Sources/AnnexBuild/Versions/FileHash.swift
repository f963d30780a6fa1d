package import AnnexCore
import AnnexIndex
import Crypto
package import Foundation

/// Computes SHA-256 of files in one pass.
package enum FileHash {
    /// Returns the hex digest and the size. The file must be a regular one: a link is refused unless it may be
    /// followed. O(bytes), 1 MiB of memory; blocks.
    ///
    /// - Throws: `.damaged` for what is no regular file or grows while it is read; `.system` where reading fails.
    package static func sha256(_ path: String, followLinks: Bool = false) throws(AnnexError) -> (
        hex: String, bytes: Int
    ) {
        let (hex, mark) = try Self.marked(path, followLinks: followLinks)
        return (hex, mark.bytes)
    }

    /// Returns the hex digest, and the mark of the very file that was read.
    static func marked(_ path: String, followLinks: Bool = false) throws(AnnexError) -> (hex: String, mark: FileMark) {
        // O_NONBLOCK is there because opening a pipe in a file's place would never end.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (followLinks ? 0 : O_NOFOLLOW))
        guard descriptor >= 0 else {
            throw AnnexError(.damaged, "cannot open: \(unsafe String(cString: strerror(errno)))", at: path)
        }
        defer { close(descriptor) }
        let mark = try FileMark(descriptor: descriptor, path: path)
        var hasher = SHA256()
        var total = 0
        // One byte more than the file has, so that one that grows is noticed.
        let bufferBytes = mark.bytes < 1 << 20 ? mark.bytes + 1 : 1 << 20
        var buffer = [UInt8](repeating: 0, count: bufferBytes)
        while true {
            let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemFailure.error("cannot read", at: path) }
            if count == 0 { break }
            total += count
            guard total <= mark.bytes else { break }
            hasher.update(data: buffer[..<count])
        }
        guard total == mark.bytes, try FileMark(descriptor: descriptor, path: path) == mark else {
            throw AnnexError(
                .damaged,
                "was changed while it was read",
                at: path,
                hint: "Try again once nobody writes it"
            )
        }
        return (Self.hex(hasher.finalize()), mark)
    }

    package static func sha256(_ data: Data) -> String { Self.hex(SHA256.hash(data: data)) }

    private static func hex(_ digest: SHA256.Digest) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var out: [UInt8] = []
        for byte in digest {
            out.append(digits[Int(byte >> 4)])
            out.append(digits[Int(byte & 15)])
        }
        return String(decoding: out, as: UTF8.self)
    }
}
