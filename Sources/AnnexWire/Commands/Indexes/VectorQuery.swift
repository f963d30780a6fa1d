import AnnexCore

/// The vector that `VSIM` compares with.
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

    /// Position of an item's id.
    case element(Int)
    /// Position of little-endian float32s, `count` of them.
    case blob(Int, count: Int)
    /// Positions of decimal numbers.
    case values(Range<Int>)

    /// Components of a vector; 0 for an element.
    package var componentCount: Int {
        switch self {
        case .element: 0
        case .blob(_, let count): count
        case .values(let range): range.count
        }
    }

    /// Component `index` of a vector. Nil where the word is no finite decimal number; a blob's may be NaN or infinite.
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

    /// Position of the word behind it.
    var end: Int {
        switch self {
        case .element, .blob: 4
        case .values(let range): range.upperBound
        }
    }

    /// Words 2 and 3 of `VSIM`, and the values. The arity must have been checked. Components are not looked at.
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
