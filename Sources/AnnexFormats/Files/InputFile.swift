import AnnexCore
import Glibc

/// Holds a regular file open for reading, and closes it with its last owner. It has no position, so threads may share
/// it.
///
/// What is unsafe here are calls of C, which get a path, or a buffer of Swift's with the length it has, and keep neither.
final class InputFile: Sendable {
    let path: String
    private let descriptor: Int32

    /// - Throws: `.notFound` where there is no such file; `.badInput` for what is no regular file; `.system`.
    init(path: String) throws(AnnexError) {
        self.path = path
        // Without O_NONBLOCK the opening of a FIFO waits until somebody writes to it.
        self.descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard self.descriptor >= 0 else { throw Self.noFile(path, errno) }
        if let kind = Self.kind(try self.status().st_mode) {
            throw AnnexError(
                .badInput,
                "is \(kind), not a regular file",
                at: path,
                hint: "Save the data in a file first"
            )
        }
    }

    /// Copies the next `bytes` bytes of a stream into a file without a name in TMPDIR, or else in /tmp.
    init(spooling stream: ByteStream, bytes: Int) throws(AnnexError) {
        let folder = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? ""
        self.path = folder.isEmpty ? "/tmp" : folder
        let name = "\(self.path)/annex-\(String(UInt64.random(in: .min ... .max), radix: 36))"
        self.descriptor = unsafe open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.descriptor >= 0 else { throw Self.noSpool(self.path, stream.path, errno) }
        unsafe unlink(name)
        var done = 0
        while done < bytes {
            let piece = min(Self.spoolPiece, bytes - done)
            guard let failure = try stream.take(piece, { self.append($0) }) else { throw Self.cut(stream.path) }
            guard failure == 0 else { throw Self.noSpool(self.path, stream.path, failure) }
            done += piece
        }
    }

    deinit { if self.descriptor >= 0 { close(self.descriptor) } }

    private static let spoolPiece = 256 << 10

    func size() throws(AnnexError) -> Int { Int(try self.status().st_size) }

    /// Reads `count` bytes from `offset` on to `start` in `buffer`, which has room for them. Fewer come only at the
    /// file's end.
    func read(_ count: Int, at offset: Int, into buffer: inout [UInt8], from start: Int = 0) throws(AnnexError) -> Int {
        precondition(count >= 0 && start >= 0 && start + count <= buffer.count)
        var done = 0
        while done < count {
            // The read stays within the buffer by the precondition.
            let got = unsafe buffer.withUnsafeMutableBytes {
                unsafe pread(
                    self.descriptor,
                    $0.baseAddress.map { unsafe $0 + start + done },
                    count - done,
                    offset + done
                )
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw AnnexError(.system, "cannot read: \(Self.reason(errno))", at: self.path) }
            guard got > 0 else { break }
            done += got
        }
        return done
    }

    static func cut(_ path: String) -> AnnexError {
        AnnexError(.badInput, "the file ends within the array", at: path, hint: "It was cut; copy it again")
    }

    /// Returns 0, or the number of an error.
    private func append(_ bytes: Span<UInt8>) -> Int32 {
        unsafe bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = unsafe write(
                    self.descriptor,
                    bytes.baseAddress.map { unsafe $0 + done },
                    bytes.count - done
                )
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : ENOSPC }
                done += count
            }
            return 0
        }
    }

    private func status() throws(AnnexError) -> stat {
        var status = stat()
        guard unsafe fstat(self.descriptor, &status) == 0 else {
            throw AnnexError(.system, "cannot be looked at: \(Self.reason(errno))", at: self.path)
        }
        return status
    }

    /// Names the kind of a file that is no regular one. Returns nil for a regular file.
    private static func kind(_ mode: mode_t) -> String? {
        switch mode & S_IFMT {
        case S_IFREG: nil
        case S_IFDIR: "a folder"
        case S_IFIFO: "a FIFO"
        case S_IFCHR, S_IFBLK: "a device"
        default: "a socket"
        }
    }

    private static func reason(_ number: Int32) -> String { unsafe String(cString: strerror(number)) }

    private static func noFile(_ path: String, _ number: Int32) -> AnnexError {
        let message = "cannot open: \(Self.reason(number))"
        return switch number {
        case ENOENT, ENOTDIR: AnnexError(.notFound, message, at: path, hint: "Check the name and its folder")
        case EACCES: AnnexError(.system, message, at: path, hint: "Let the user who runs this read it: chmod, chown")
        case ENXIO:
            AnnexError(
                .badInput,
                "is a socket or device, not a regular file",
                at: path,
                hint: "Save the data in a file first"
            )
        default: AnnexError(.system, message, at: path)
        }
    }

    private static func noSpool(_ folder: String, _ path: String, _ number: Int32) -> AnnexError {
        AnnexError(
            .system,
            "the array is packed and in Fortran order, and a copy of it in \(folder) failed: \(Self.reason(number))",
            at: path,
            hint: "Point TMPDIR at a folder with room, or save the array in C order"
        )
    }
}
