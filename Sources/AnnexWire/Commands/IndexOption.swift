/// Reads `[INDEX name]` behind fixed words, where it is the only option.
struct IndexOption {
    private enum Option: String, CaseIterable, Sendable { case index = "INDEX" }

    private static let grammar = OptionGrammar<Option>([.index])

    /// The index's name stands at this position. It is nil where it was left out.
    let position: Int?

    /// - Parameter start: the words before the option, the command's name among them. The arity must have been checked.
    init(_ request: Request, from start: Int) throws(ArgumentFailure) {
        var position: Int?
        var reader = OptionReader(Self.grammar, from: start)
        while let found = try reader.next(in: request) {
            switch found.option {
            case .index: position = found.values.lowerBound
            }
        }
        self.position = position
    }
}
