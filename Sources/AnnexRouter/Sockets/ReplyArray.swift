import AnnexWire
import NIOCore

/// Finds the elements of an encoded array, without making values of them.
enum ReplyArray {
    /// Returns where the elements of an array lie in its bytes: the first begins at the first number, each ends at the
    /// next; nil for another reply, and for one that is cut. O(bytes).
    static func ends(of bytes: ByteBuffer) -> [Int]? {
        bytes.withUnsafeReadableBytes { bytes -> [Int]? in
            guard bytes.first == UInt8(ascii: "*"), let line = bytes.firstIndex(of: UInt8(ascii: "\n")) else {
                return nil
            }
            var scanner = ReplyScanner()
            var position = line + 1
            var ends = [position]
            while position < bytes.count {
                guard (try? scanner.next(bytes, from: &position)) != nil else { return nil }
                ends.append(position)
            }
            return ends
        }
    }

    /// Returns the elements of an array, each as it came; nil for another reply. O(bytes).
    static func elements(of bytes: ByteBuffer) -> [ByteBuffer]? {
        guard let ends = Self.ends(of: bytes) else { return nil }
        return zip(ends, ends.dropFirst()).compactMap { start, end in
            bytes.getSlice(at: bytes.readerIndex + start, length: end - start)
        }
    }
}
