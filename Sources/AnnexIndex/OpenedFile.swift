package import AnnexCore
import Glibc

/// A file open for reading. Whoever opened it closes it.
package struct OpenedFile {
    package let descriptor: Int32
    package let byteCount: Int

    /// - Throws: `.system` where it cannot be opened.
    package init(path: String) throws(AnnexError) {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemFailure.error("cannot open", at: path) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            let error = SystemFailure.error("cannot read the size", at: path)
            Glibc.close(descriptor)
            throw error
        }
        self.descriptor = descriptor
        self.byteCount = Int(status.st_size)
    }

    package func close() { Glibc.close(self.descriptor) }
}

/// Makes every error that comes from `errno`.
package enum SystemFailure {
    package static func error(_ what: String, at path: String) -> AnnexError {
        let reason = unsafe String(cString: strerror(errno))
        return AnnexError(.system, "\(what): \(reason)", at: path)
    }
}
