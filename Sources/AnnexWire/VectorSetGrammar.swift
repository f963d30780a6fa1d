package import AnnexCore

/// What `VSIM` compares with.
package enum VectorQuery: Equatable, Sendable {
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
}

/// `VSIM key <ELE element | FP32 blob | VALUES n value …> [options]`. Of an option given twice the last one counts, and
/// `TRUTH` beats `EF`, as in Redis.
package struct VSimArguments: Equatable, Sendable {
    package static let defaultCount = 10

    /// Position of the index's name.
    package var key: Int { 1 }
    package let query: VectorQuery
    /// 1 to 10,000.
    package private(set) var count = VSimArguments.defaultCount
    /// Above 0: keep scores of at least 1 − epsilon.
    package private(set) var epsilon: Double?
    package private(set) var withScores = false
    package private(set) var withAttributes = false
    private var ef: Int?
    private var kappa: Float?
    private var truth = false

    /// Nil: the version's own operating point. `KAPPA` is Annex's own and beats `EF`.
    package var effort: SearchEffort? {
        self.truth ? .exact : self.kappa.map { .kappa($0) } ?? self.ef.map { .efSearch($0) }
    }

    /// The arity must have been checked. Components are not looked at.
    package init(_ request: Request) throws(ArgumentFailure) {
        var position: Int
        (self.query, position) = try Self.query(request)
        while position < request.count { position = try self.take(request, position) }
    }

    private static func query(_ request: Request) throws(ArgumentFailure) -> (VectorQuery, Int) {
        guard request.count >= 4 else { throw .syntax(request, near: request.count - 1) }
        if request.matches(2, "ELE") { return (.element(3), 4) }
        if request.matches(2, "FP32") {
            let bytes = Int(request.arguments[3].count)
            guard bytes % 4 == 0, (1...Limits.maximumDimension).contains(bytes / 4) else {
                throw ArgumentFailure(
                    code: .badVector,
                    "invalid vector specification: \(bytes) bytes are not 1 to \(Limits.maximumDimension) float32s"
                )
            }
            return (.blob(3, count: bytes / 4), 4)
        }
        guard request.matches(2, "VALUES") else { throw .syntax(request, near: 2) }
        guard let count = request.integer(3), (1...Limits.maximumDimension).contains(count), count <= request.count - 4
        else { throw ArgumentFailure("invalid vector specification") }
        return (.values(4..<4 + count), 4 + count)
    }

    private mutating func take(_ request: Request, _ at: Int) throws(ArgumentFailure) -> Int {
        if request.matches(at, "WITHSCORES") {
            self.withScores = true
            return at + 1
        }
        if request.matches(at, "WITHATTRIBS") {
            self.withAttributes = true
            return at + 1
        }
        if request.matches(at, "TRUTH") {
            self.truth = true
            return at + 1
        }
        guard at + 1 < request.count else { throw .syntax(request, near: at) }
        if request.matches(at, "COUNT") {
            guard let count = request.integer(at + 1), (1...Limits.maximumK).contains(count) else {
                throw ArgumentFailure("invalid COUNT")
            }
            self.count = count
        } else if request.matches(at, "EF") {
            guard let ef = request.integer(at + 1), (1...Limits.maximumEfSearch).contains(ef) else {
                throw ArgumentFailure("invalid EF")
            }
            self.ef = ef
        } else if request.matches(at, "KAPPA") {
            self.kappa = try request.kappa(at + 1)
        } else if request.matches(at, "EPSILON") {
            guard let epsilon = request.double(at + 1), epsilon > 0 else { throw ArgumentFailure("invalid EPSILON") }
            self.epsilon = epsilon
        } else {
            throw .syntax(request, near: at)
        }
        return at + 2
    }
}

/// `VEMB key element [RAW]` and `VLINKS key element [WITHSCORES]`: an element and one word.
package struct ElementArguments: Equatable, Sendable {
    /// Position of the index's name.
    package var key: Int { 1 }
    /// Position of the item's id.
    package var element: Int { 2 }
    /// Whether the word was given.
    package let flag: Bool

    private init(_ request: Request, _ word: StaticString) throws(ArgumentFailure) {
        self.flag = request.count > 3 && request.matches(3, word)
        let end = self.flag ? 4 : 3
        guard request.count <= end else { throw .syntax(request, near: end) }
    }

    /// The arity must have been checked.
    package static func vemb(_ request: Request) throws(ArgumentFailure) -> Self { try Self(request, "RAW") }

    /// The arity must have been checked.
    package static func vlinks(_ request: Request) throws(ArgumentFailure) -> Self { try Self(request, "WITHSCORES") }
}

/// `VRANDMEMBER key [count]`.
package struct VRandMemberArguments: Equatable, Sendable {
    /// Position of the index's name.
    package var key: Int { 1 }
    /// −10,000 to 10,000; negative: repeats are allowed; nil: one member, not an array.
    package let count: Int?

    /// The arity must have been checked.
    package init(_ request: Request) throws(ArgumentFailure) {
        guard request.count > 2 else {
            self.count = nil
            return
        }
        guard request.count == 3 else { throw .wrongArity("vrandmember") }
        guard let count = request.integer(2) else { throw ArgumentFailure("COUNT value is not an integer") }
        guard count.magnitude <= UInt(Limits.maximumRandomCount) else {
            throw ArgumentFailure(
                "COUNT value is out of range: give -\(Limits.maximumRandomCount) to \(Limits.maximumRandomCount)"
            )
        }
        self.count = count
    }
}
