import AnnexNode
import ArgumentParser

/// Prints `docs/settings.md`; `tools/soundness.sh` compares it with the file in the tree.
struct SettingsDocumentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "settings-docs",
        abstract: "Print the reference of settings, from their tables.",
        shouldDisplay: false
    )

    func run() { print(SettingsDocument.markdown(), terminator: "") }
}
