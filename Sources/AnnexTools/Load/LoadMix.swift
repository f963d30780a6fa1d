package import AnnexCore

/// Says which commands a load consists of, and in what proportion: `TOPK=90,EVENT=5,PING=5`.
package struct LoadMix: Sendable, Equatable {
    package enum Command: String, CaseIterable, Sendable {
        /// Any server of the protocol answers it.
        case ping = "PING"
        /// The request is `TOPK user k`.
        case topk = "TOPK"
        /// The request is `VSIM index ELE item COUNT k`.
        case vsim = "VSIM"
        /// The request is `EVENT user item`, of weight 1, stamped by the server: each adds an event to the state.
        case event = "EVENT"
    }

    package struct Part: Sendable, Equatable {
        package let command: Command
        package let weight: Int
    }

    package let parts: [Part]

    /// Names in any case, separated by commas, each with `=WEIGHT` (1 to 1000000; 1 where it is left out).
    package init(parsing text: String) throws(AnnexError) {
        var parts: [Part] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let command = Command(rawValue: sides[0].uppercased()) else {
                throw Self.wrong(text, "'\(Printable.escape(String(sides[0])))' is none of its commands")
            }
            guard let weight = sides.count == 1 ? 1 : Int(sides[1]), (1...1_000_000).contains(weight) else {
                throw Self.wrong(text, "the weight of \(command.rawValue) is not 1 to 1000000")
            }
            guard !parts.contains(where: { $0.command == command }) else {
                throw Self.wrong(text, "\(command.rawValue) comes twice")
            }
            parts.append(Part(command: command, weight: weight))
        }
        self.parts = parts
    }

    package func has(_ command: Command) -> Bool { self.parts.contains { $0.command == command } }

    /// Returns the text that would be parsed to this.
    package var text: String {
        self.parts.count == 1
            ? self.parts[0].command.rawValue
            : self.parts.map { "\($0.command.rawValue)=\($0.weight)" }.joined(separator: ",")
    }

    private static func wrong(_ text: String, _ reason: String) -> AnnexError {
        AnnexError(
            .usage,
            "the mix '\(Printable.escape(text))': \(reason)",
            hint:
                "Give \(Command.allCases.map(\.rawValue).joined(separator: ", ")) with weights, as in 'TOPK=90,PING=10'"
        )
    }
}
