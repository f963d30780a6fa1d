/// Holds the options of a command, as the reader looks for them. It is made once of the command's arguments.
///
/// `Option` has a case for each token, whose raw value is the token; so the switch over what was read is complete. Arguments
/// without a token are left to the command.
package struct OptionGrammar<Option>: Sendable
where Option: RawRepresentable & CaseIterable & Sendable, Option.RawValue == String {
    package enum Repetition: Sendable {
        /// Each option stands at most once, and so does one of those that exclude one another.
        case refused
        /// The last one counts, as in Redis.
        case lastCounts
    }

    enum Values {
        case words(Int)
        /// A count, so many words, and perhaps a token with as many values.
        case counted(then: PackedName?)
    }

    struct Row {
        let token: PackedName
        let option: Option
        let values: Values
        /// Options that exclude one another have the same number here.
        let group: UInt64
        /// Says where the option's argument stands, for messages.
        let argument: Int
    }

    private let rows: [Row]
    let repetition: Repetition
    private let arguments: [CommandArgument]

    /// - Parameter arguments: at most 64 with options among them; tokens of at most 16 bytes.
    package init(_ arguments: [CommandArgument], _ repetition: Repetition = .refused) {
        var rows: [Row] = []
        var options: [CommandArgument] = []
        for (number, argument) in arguments.enumerated() {
            let isChoice = argument.kind == .oneof && argument.token == nil
            for choice in isChoice ? argument.children : [argument] {
                guard let token = choice.token else { continue }
                guard let packed = PackedName(token), let option = Option(rawValue: token) else {
                    preconditionFailure("option \(token) has no case")
                }
                let row = Row(
                    token: packed,
                    option: option,
                    values: Self.values(of: choice),
                    group: 1 << UInt64(number),
                    argument: options.count
                )
                rows.append(row)
                options.append(choice)
            }
        }
        precondition(rows.count == Option.allCases.count, "an option is no argument: \(arguments.map(\.syntax))")
        self.rows = rows
        self.repetition = repetition
        self.arguments = options
    }

    private static func values(of argument: CommandArgument) -> Values {
        guard argument.kind == .block, argument.children.contains(where: \.isMultiple) else {
            var given = argument
            given.isOptional = false
            return .words(given.words.fewest - 1)
        }
        return .counted(then: argument.children.last?.token.flatMap { PackedName($0) })
    }

    /// Returns the row of the word at `index`; nil where it is no option. Allocates nothing.
    func row(_ request: Request, _ index: Int) -> Row? {
        guard let word = request.withArgument(index, { PackedName($0) }) else { return nil }
        for row in self.rows where row.token == word { return row }
        return nil
    }

    /// Returns the option that the word at `index` is; nil where it is none.
    package func option(_ request: Request, _ index: Int) -> Option? { self.row(request, index)?.option }

    // MARK: Messages

    /// Returns the word for what is counted behind an option: `items`.
    func counted(_ row: Row) -> String {
        (self.arguments[row.argument].children.first { $0.isMultiple }?.name ?? "word") + "s"
    }

    func tooFewValues(_ row: Row, _ count: Int) -> ArgumentFailure {
        let argument = self.arguments[row.argument]
        return ArgumentFailure(
            "\(argument.children.last?.token ?? "") needs \(count) numbers, as many as \(argument.token ?? "") has "
                + self.counted(row)
        )
    }
}
