package import AnnexCore

/// Says which column of a `.csv` or `.tsv` of factors holds ids, as somebody gave it.
package enum IdColumn: Sendable, Equatable {
    /// No column has ids: all are components.
    case none
    /// Counted from 0.
    case number(Int)
    /// The column's name in the heading.
    case named(String)

    package static let documentation = "a column's number from 1 on, its name in the heading, or none"

    /// - Throws: `.usage` for a number below 1 and for nothing at all.
    package init(parsing text: String) throws(AnnexError) {
        if text == "none" {
            self = .none
        } else if let number = Int(text) {
            guard (1...Limits.maximumDimension + 1).contains(number) else {
                throw AnnexError(.usage, "id-column \(number) is no column: they count from 1", hint: Self.hint)
            }
            self = .number(number - 1)
        } else {
            guard !text.isEmpty else { throw AnnexError(.usage, "id-column is empty", hint: Self.hint) }
            self = .named(text)
        }
    }

    private static let hint = "id-column is \(Self.documentation)"

    /// Returns the text from which `init` makes it.
    package var text: String {
        switch self {
        case .none: "none"
        case .number(let number): "\(number + 1)"
        case .named(let name): name
        }
    }
}
