import AnnexCore
import Foundation

/// Owns `STATE/NAME`: a folder with the lock and the file of one index.
///
/// The lock (flock) is held until the object goes or the process dies. Any thread may use it.
final class StateFolder: Sendable {
    let path: String
    private let descriptor: Int32

    static func file(_ folder: String) -> String { folder + "/state.lmdb" }
    var file: String { Self.file(self.path) }

    private static let poll: Duration = .milliseconds(20)

    /// Takes the lock. Blocks for at most `patience` where another holds it, and says so.
    ///
    /// - Parameter create: makes the folder where it is missing, so that it outlives a power cut.
    /// - Throws: `.busy` where another holds the lock, `.notFound` where the folder is missing and not made.
    init(
        _ path: String,
        create: Bool,
        patience: Duration = .zero,
        notice: (String) -> Void = { _ in },
        system: StateSystem = StateSystem()
    ) throws(AnnexError) {
        self.path = path
        if create { try Self.make(path) }
        let lock = path + "/lock"
        let descriptor = unsafe open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else {
            throw errno == ENOENT
                ? AnnexError(.notFound, "there is no such folder", at: path, hint: Self.pathHint)
                : Self.failure("cannot open the lock", at: lock)
        }
        do throws(AnnexError) { try Self.take(descriptor, lock, patience, notice, system) } catch {
            close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.sign()
    }

    deinit { close(self.descriptor) }

    private static func take(
        _ descriptor: Int32,
        _ lock: String,
        _ patience: Duration,
        _ notice: (String) -> Void,
        _ system: StateSystem
    ) throws(AnnexError) {
        let end = system.now() + patience
        var hasSaid = false
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            guard errno == EWOULDBLOCK else { throw Self.failure("cannot lock", at: lock) }
            guard system.now() < end else { throw Self.busy(descriptor, lock) }
            if !hasSaid {
                let limit = "for at most \(patience.components.seconds) s"
                notice("The state is in use by another process: waiting \(limit) until it lets go of \(lock)")
            }
            hasSaid = true
            system.sleep(Self.poll)
        }
    }

    /// Returns the size of the state's file; nil where there is none.
    ///
    /// - Throws: `.damaged` where it is no file: opening a pipe would wait for ever.
    func fileSize() throws(AnnexError) -> Int? { try Self.fileSize(self.file) }

    static func fileSize(_ file: String) throws(AnnexError) -> Int? {
        var status = stat()
        if unsafe stat(file, &status) != 0 {
            if errno == ENOENT { return nil }
            throw Self.failure("cannot be looked at", at: file)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw AnnexError(
                .damaged,
                "is no file",
                at: file,
                hint: "Move it away, or restore the state from a copy"
            )
        }
        return Int(status.st_size)
    }

    /// Says in the lock who holds it. For people only, so that it does not matter where it fails.
    private func sign() {
        let text = Array("\(getpid())\n".utf8)
        guard ftruncate(self.descriptor, 0) == 0 else { return }
        _ = unsafe text.withUnsafeBytes { unsafe pwrite(self.descriptor, $0.baseAddress, $0.count, 0) }
    }

    private static func busy(_ descriptor: Int32, _ lock: String) -> AnnexError {
        var text = [UInt8](repeating: 0, count: 20)
        let count = unsafe text.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
        let digits = text.prefix(max(0, count)).prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        let process = digits.isEmpty ? "" : " " + Printable.escape(digits)
        return AnnexError(
            .busy,
            "the state is in use by another process",
            at: lock,
            hint: "Look for process\(process) (`fuser \(Printable.escape(lock))`), stop it or give another --state"
        )
    }

    private static func make(_ path: String) throws(AnnexError) {
        var missing: [String] = []
        var next = path
        while unsafe access(next, F_OK) != 0, missing.last != next {
            missing.append(next)
            next = Self.parent(of: next)
        }
        guard !missing.isEmpty else { return }
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw AnnexError(
                .system,
                "cannot make the folder: \(error.localizedDescription)",
                at: path,
                hint: "Give a --state that may be written"
            )
        }
        // A folder outlives a power cut once its entry does, in the folder above it.
        for folder in missing { try Self.flush(Self.parent(of: folder)) }
    }

    static func parent(of path: String) -> String { URL(fileURLWithPath: path).deletingLastPathComponent().path }

    /// Calls fsync on a file or folder. Blocks.
    static func flush(_ path: String) throws(AnnexError) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("cannot open", at: path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure("cannot flush", at: path) }
    }

    private static let pathHint = "Give STATE/NAME, as --state DIR has it"

    static func noState(_ path: String) -> AnnexError {
        AnnexError(.notFound, "there is no state", at: path, hint: self.pathHint)
    }

    /// Turns `errno` into an error for people.
    static func failure(_ what: String, at path: String) -> AnnexError {
        let reason = unsafe String(cString: strerror(errno))
        let hint: String? =
            switch errno {
            case EACCES, EPERM: "Let the server's user write there"
            case EROFS: "The file system is read-only: look into the kernel's log, then mount it for writing"
            case ENOSPC, EDQUOT: "Make space there"
            default: nil
            }
        return AnnexError(.system, "\(what): \(reason)", at: path, hint: hint)
    }
}

/// Says how much of a file system is used.
enum FileSystemSpace {
    /// Returns 0 to 1, as `df` counts, of what is not kept for root. Returns 0 where the file system does not say.
    static func fullness(_ folder: String) -> Double {
        var status = statvfs()
        guard unsafe statvfs(folder, &status) == 0, status.f_blocks > 0, status.f_blocks >= status.f_bfree else {
            return 0
        }
        let used = Double(status.f_blocks - status.f_bfree)
        let free = Double(status.f_bavail)
        return used + free > 0 ? used / (used + free) : 0
    }

    /// Returns false where a file of 1 MiB does not fit, by quota or by size. True also where another error tells
    /// nothing.
    static func isLeft(_ folder: String) -> Bool {
        let path = folder + "/.tmp-space"
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { return !LMDBFailure(status: errno).isNoSpace }
        defer {
            close(descriptor)
            unsafe unlink(path)
        }
        let bytes = [UInt8](repeating: 0, count: 1 << 20)
        let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        return written < 0 ? !LMDBFailure(status: errno).isNoSpace : written == bytes.count
    }
}
