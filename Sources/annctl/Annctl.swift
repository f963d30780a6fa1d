import AnnexCore
import ArgumentParser
import CBusError
import Foundation

@main
struct Annctl: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "annctl",
        abstract: "Build, serve and query indexes of item factors.",
        version: "annctl \(ProductVersion.text)",
        subcommands: [
            BuildCommand.self, ServeCommand.self, RouteCommand.self, IngestCommand.self, QueryCommand.self,
            InspectCommand.self, VerifyCommand.self, ListCommand.self, UseCommand.self, RollbackCommand.self,
            PruneCommand.self,
            BenchCommand.self, TuneCommand.self, ClusterCommand.self, CheckStateCommand.self, CompactStateCommand.self,
            BackupCommand.self,
            RestoreCommand.self, TrimLogCommand.self, ProtocolDocumentCommand.self,
            SettingsDocumentCommand.self,
        ]
    )

    /// Exit codes: 0 done, 1 failed, 64 wrong usage.
    static func main() async {
        annex_report_bus_errors()
        do {
            var command = try Self.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as AnnexError {
            FileHandle.standardError.write(Data("annctl: \(error)\n".utf8))
            Foundation.exit(error.code == .usage ? 64 : 1)
        } catch {
            Self.exit(withError: error)
        }
    }
}
