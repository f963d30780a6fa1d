import AnnexWire
import ArgumentParser

/// Prints `docs/protocol.md`; `tools/soundness.sh` compares it with the file in the tree.
struct ProtocolDocumentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "protocol-docs",
        abstract: "Print the protocol's reference, from the command table.",
        shouldDisplay: false
    )

    func run() { print(CommandTable.standard.markdown(), terminator: "") }
}
