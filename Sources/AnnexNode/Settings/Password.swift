package import AnnexCore
import Foundation

package enum Password {
    /// Reads the first line of a file; the others do not count.
    package static func read(_ path: String) throws(AnnexError) -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw AnnexError(
                .usage,
                "cannot read the password file",
                at: path,
                hint: "Is it there, and may this user read it?"
            )
        }
        let text = String(decoding: data, as: UTF8.self)
        let line = text.prefix { $0 != "\n" && $0 != "\r\n" && $0 != "\r" }
        guard !line.isEmpty else {
            throw AnnexError(.usage, "the first line is empty", at: path, hint: "Write the password there")
        }
        return String(line)
    }
}

extension Setting.Value {
    /// Describes a setting that names a file whose first line is a password. The file is read when it is given.
    static func passwordFile(_ path: any WritableKeyPath<Settings, String?> & Sendable) -> Self {
        .text(
            form: "a file",
            isPath: true,
            read: { _ in nil },
            write: { settings, file throws(AnnexError) in settings[keyPath: path] = try Password.read(file) }
        )
    }
}
