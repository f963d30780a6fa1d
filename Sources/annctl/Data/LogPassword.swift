import AnnexCore
import AnnexLog
import AnnexNode

/// Reads the log's password, which no command line should hold: every user of the machine can read those.
enum LogPassword {
    static let warning =
        "The log's password stands in the command line, which every user of this machine can read: use --log-password-file"

    /// - Parameter passwordFile: its first line is the password.
    static func address(_ text: String, passwordFile: String?) throws -> LogAddress {
        let address: LogAddress
        do throws(AnnexError) { address = try LogAddress(parsing: text) } catch {
            throw AnnexError(error.code, "--log \(error.message)", hint: error.hint)
        }
        guard let passwordFile else { return address }
        return try address.with(password: try Password.read(passwordFile))
    }

    /// Tells whether an address of the command line has a password.
    static func isExposed(_ text: String) -> Bool { (try? LogAddress(parsing: text))?.password != nil }
}
