import AnnexCore

/// Says which vector `VSIM` compares with.
package enum VectorQuery: Equatable, Sendable {
    private enum Form: String, CaseIterable, Sendable {
        case element = "ELE"
        case blob = "FP32"
        case values = "VALUES"
    }

    static let argument = CommandArgument.oneof(
        "query",
        [
            .string("element", token: "ELE"), .string("blob", token: "FP32"),
            .block("values", token: "VALUES", [.integer("n"), .double("value").multiple]),
        ]
    )
    private static let grammar = OptionGrammar<Form>([Self.argument])

    /// An item's id stands at this position.
    case element(Int)
    /// Little-endian float32s, `count` of them, stand at this position.
    case blob(Int, count: Int)
    /// Decimal numbers stand at these positions.
    case values(Range<Int>)

    /// Counts the components of a vector. It is 0 for an element.
    package var componentCount: Int {
        switch self {
        case .element: 0
        case .blob(_, let count): count
        case .values(let range): range.count
        }
    }

    /// Returns component `index` of a vector; nil where the word is no finite decimal number. A blob's may be NaN or
    /// infinite.
    package func component(_ index: Int, in request: Request) -> Float? {
        switch self {
        case .element: return nil
        case .values(let range): return request.float(range.lowerBound + index)
        case .blob(let position, _):
            return request.withArgument(position) { bytes in
                let bits = bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
                return Float(bitPattern: UInt32(littleEndian: bits))
            }
        }
    }

    /// Returns the position of the word behind it.
    var end: Int {
        switch self {
        case .element, .blob: 4
        case .values(let range): range.upperBound
        }
    }

    /// Reads words 2 and 3 of `VSIM`, and finds the values. The arity must have been checked. Components are not looked
    /// at.
    init(_ request: Request) throws(ArgumentFailure) {
        switch Self.grammar.option(request, 2) {
        case .element: self = .element(3)
        case .blob:
            let bytes = Int(request.arguments[3].count)
            guard bytes % 4 == 0, (1...Limits.maximumDimension).contains(bytes / 4) else {
                throw ArgumentFailure(
                    code: .badVector,
                    "invalid vector specification: \(bytes) bytes are not 1 to \(Limits.maximumDimension) float32s"
                )
            }
            self = .blob(3, count: bytes / 4)
        case .values:
            guard let count = request.integer(3), (1...Limits.maximumDimension).contains(count),
                count <= request.count - 4
            else { throw ArgumentFailure("invalid vector specification") }
            self = .values(4..<4 + count)
        case nil: throw .syntax(request, near: 2)
        }
    }
}
