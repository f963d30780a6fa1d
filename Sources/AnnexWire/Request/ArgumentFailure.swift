package import AnnexCore

/// Says why the arguments of a command are refused, with the code and the text of its error reply.
package struct ArgumentFailure: Error, Equatable, Sendable {
    package let code: ErrorCode
    /// Says what is wrong and what would be right. Words of the client in it are escaped and cut.
    package let message: String

    package init(code: ErrorCode = .error, _ message: String) {
        self.code = code
        self.message = message
    }

    /// A failure of the engine or the state, found while arguments were looked up.
    package init(_ failure: AnnexError) { self.init(code: ErrorCode(failure.code), "\(failure)") }

    /// Refuses a word that the command does not know, knows only once, or whose value is missing.
    package static func syntax(_ request: Request, near index: Int) -> Self {
        Self("syntax error near '\(request.printable(index))'")
    }
}

extension ReplyWriter {
    package mutating func error(_ failure: ArgumentFailure) { self.error(code: failure.code, failure.message) }
}

extension Request {
    /// Refuses more words than a command makes something of: what that costs is bounded before it begins.
    ///
    /// - Parameters:
    ///   - first: the index of the first of them.
    ///   - width: words that make one together.
    package func check(_ what: StaticString, from first: Int, atMost most: Int, width: Int = 1) throws(ArgumentFailure)
    {
        guard self.count - first > most * width else { return }
        throw ArgumentFailure("too many \(what); give at most \(most)")
    }

    /// Returns the patterns at some indices, which may have `GlobPattern.maximumBytes` together.
    package func patterns(
        _ indices: Range<Int>,
        caseSensitive: Bool = false
    ) throws(ArgumentFailure) -> [GlobPattern] {
        let bytes = indices.reduce(0) { $0 + self.withArgument($1) { $0.count } }
        guard bytes <= GlobPattern.maximumBytes else {
            throw ArgumentFailure("patterns of \(bytes) bytes; give at most \(GlobPattern.maximumBytes) bytes together")
        }
        return indices.map { self.withArgument($0) { GlobPattern($0, caseSensitive: caseSensitive) } }
    }

    /// Returns the integer at `index`, if it is within `range`.
    ///
    /// - Throws: `ERR invalid NAME 'WORD': give an integer from A to B`.
    func integer(_ index: Int, _ name: StaticString, in range: ClosedRange<Int>) throws(ArgumentFailure) -> Int {
        guard let value = self.integer(index), range.contains(value) else {
            throw ArgumentFailure(
                "invalid \(name) '\(self.printable(index))': give an integer from \(range.lowerBound) to "
                    + "\(range.upperBound)"
            )
        }
        return value
    }

    /// Reads the weight of an event. Its bounds keep every sum of weights, and every score, within a float's range.
    package func weight(_ index: Int) throws(ArgumentFailure) -> Double {
        guard let value = self.double(index), abs(value) <= Limits.maximumWeight else {
            throw ArgumentFailure("invalid weight '\(self.printable(index))': give a number from -1e30 to 1e30")
        }
        return value
    }

    /// Reads a time, in milliseconds since 1970, that an event may have.
    package func time(_ index: Int, _ name: StaticString) throws(ArgumentFailure) -> Int64 {
        guard let time = self.integer(index) else {
            throw ArgumentFailure(
                "invalid \(name) '\(self.printable(index))': give whole milliseconds since 1970, in 64 bits"
            )
        }
        if let problem = EventTime.problem(Int64(time)) {
            throw ArgumentFailure("invalid \(name) '\(self.printable(index))': the time \(problem)")
        }
        return Int64(time)
    }

    /// Reads a share of the part across a centroid: above 0, at most 1.
    func kappa(_ index: Int) throws(ArgumentFailure) -> Float {
        guard let value = self.float(index), value > 0, value <= 1 else {
            throw ArgumentFailure("invalid KAPPA '\(self.printable(index))': give a number above 0, at most 1")
        }
        return value
    }

    /// Returns the positions of the words that the count at `index` announces; `name` is what is counted.
    ///
    /// - Parameters:
    ///   - minimum: the smallest count.
    ///   - following: how many arguments must be left behind the words.
    func counted(
        _ index: Int,
        _ name: @autoclosure () -> String,
        minimum: Int,
        following: Int = 0
    ) throws(ArgumentFailure) -> Range<Int> {
        let available = max(0, self.count - index - 1 - following)
        guard let count = self.integer(index), count >= minimum, count <= available else {
            let name = name()
            throw ArgumentFailure(
                "invalid number of \(name) '\(self.printable(index))': give an integer from \(minimum), then as many "
                    + "\(name); \(available) could follow"
            )
        }
        return index + 1..<index + 1 + count
    }
}
