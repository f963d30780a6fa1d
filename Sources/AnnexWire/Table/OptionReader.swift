/// Reads the options of a request, one after the other. Nothing is copied or allocated.
package struct OptionReader<Option>
where Option: RawRepresentable & CaseIterable & Sendable, Option.RawValue == String {
    package struct Found {
        package let option: Option
        /// Its values stand at these positions. A word that stands alone has none.
        package let values: Range<Int>
        /// The values behind the token that may follow counted ones stand at these positions. It is nil where that was
        /// left out.
        package let more: Range<Int>?
    }

    private let grammar: OptionGrammar<Option>
    private var at: Int
    /// The groups of which an option was given.
    private var given: UInt64 = 0

    /// - Parameter start: the position of the first option.
    package init(_ grammar: OptionGrammar<Option>, from start: Int) {
        self.grammar = grammar
        self.at = start
    }

    /// Returns the next option; nil at the end of the request. The values are not looked at.
    ///
    /// - Throws: `syntax error near 'WORD'` for a word that is no option, or an option that was given already or lacks its values.
    package mutating func next(in request: Request) throws(ArgumentFailure) -> Found? {
        let at = self.at
        guard at < request.count else { return nil }
        guard let row = self.grammar.row(request, at) else { throw .syntax(request, near: at) }
        if self.grammar.repetition == .refused {
            guard self.given & row.group == 0 else { throw .syntax(request, near: at) }
            self.given |= row.group
        }
        switch row.values {
        case .words(let count):
            guard at + count < request.count else { throw .syntax(request, near: at) }
            self.at = at + 1 + count
            return Found(option: row.option, values: at + 1..<at + 1 + count, more: nil)
        case .counted(let token):
            guard at + 1 < request.count else { throw .syntax(request, near: at) }
            let values = try request.counted(at + 1, self.grammar.counted(row), minimum: 0)
            self.at = values.upperBound
            guard let token, self.at < request.count, request.withArgument(self.at, { PackedName($0) }) == token else {
                return Found(option: row.option, values: values, more: nil)
            }
            let more = self.at + 1..<self.at + 1 + values.count
            guard more.upperBound <= request.count else { throw self.grammar.tooFewValues(row, values.count) }
            self.at = more.upperBound
            return Found(option: row.option, values: values, more: more)
        }
    }
}
