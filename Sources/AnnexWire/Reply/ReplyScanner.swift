/// Finds where replies end and which of them are errors, RESP2 and RESP3, without building a value.
///
/// Fed with bytes as they come, cut anywhere: what it knows of a reply that is not complete fits in itself, so nothing
/// is kept of the bytes and each is looked at once; bodies of bulk strings are stepped over. What scalars say is not
/// checked: `:x` counts as an integer. Allocates for the first error and the first nesting only.
package struct ReplyScanner {
    package enum Failure: Error, Equatable {
        case malformed(String)
        case tooLarge(String)
    }

    package enum Outcome: Equatable, Sendable {
        case value
        /// An error, or an aggregate with one in it; `errorText` is what the first of them says.
        case error
    }

    package static let maximumDepth = 32
    /// One simple string, error or number has at most so many bytes.
    package static let maximumLineBytes = 64 << 10
    package static let maximumBulkBytes = 512 << 20
    package static let maximumElements = 1 << 24
    /// At most so many bytes of an error are kept.
    package static let maximumErrorBytes = 200

    private enum Phase { case marker, line, lineEnd, body, bodyEnd }
    private enum Kind { case value, attribute, push }

    private var phase = Phase.marker
    private var marker: UInt8 = 0
    private var lineBytes = 0
    private var length = DeclaredLength()
    /// Counts bytes of a body, or of the CR LF behind it, that are still to come.
    private var missingBytes = 0
    private var open: [(kind: Kind, missing: Int)] = []
    private var hasError = false
    /// Holds the text of the reply's first error, from its code on, at most `maximumErrorBytes`. It is good until the
    /// next call of `next`.
    package private(set) var errorText: [UInt8] = []
    private var keepsText = false

    package init() {}

    /// Returns the outcome of the next reply that ends in `bytes` at or behind `position`, which then stands behind it;
    /// nil where all bytes are used up. RESP3's pushes and attributes are no replies. After a throw the scanner is of
    /// no more use.
    package mutating func next(_ bytes: UnsafeRawBufferPointer, from position: inout Int) throws(Failure) -> Outcome? {
        while position < bytes.count {
            let ended: Bool
            switch self.phase {
            case .marker: ended = try self.begin(bytes[position], &position)
            case .line: ended = try self.line(bytes, &position)
            case .lineEnd: ended = try self.lineEnd(bytes[position], &position)
            case .body: ended = self.body(bytes, &position)
            case .bodyEnd: ended = try self.bodyEnd(bytes[position], &position)
            }
            if ended, let outcome = self.complete() { return outcome }
        }
        return nil
    }

    // MARK: Pieces. Each returns whether a value ended.

    private mutating func begin(_ byte: UInt8, _ position: inout Int) throws(Failure) -> Bool {
        switch byte {
        case UInt8(ascii: "+"), UInt8(ascii: ":"), UInt8(ascii: "_"), UInt8(ascii: ","), UInt8(ascii: "#"),
            UInt8(ascii: "("):
            break
        case UInt8(ascii: "-"), UInt8(ascii: "!"):
            self.keepsText = !self.hasError
            if self.keepsText { self.errorText.removeAll(keepingCapacity: true) }
            self.hasError = true
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"),
            UInt8(ascii: "%"), UInt8(ascii: "|"):
            break
        default: throw .malformed("reply type \(byte)")
        }
        position += 1
        self.marker = byte
        self.lineBytes = 0
        self.length = DeclaredLength()
        self.phase = .line
        return false
    }

    private mutating func line(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) throws(Failure) -> Bool {
        let declaresLength = Self.declaresLength(self.marker)
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\r") {
                self.phase = .lineEnd
                return false
            }
            guard byte != UInt8(ascii: "\n") else { throw .malformed("a line does not end in CR LF") }
            self.lineBytes += 1
            guard self.lineBytes <= Self.maximumLineBytes else { throw .tooLarge("a line") }
            if declaresLength {
                guard self.length.take(byte) else { throw .malformed("a length that is no number") }
            } else if self.marker == UInt8(ascii: "-") {
                self.keep(byte)
            }
        }
        return false
    }

    private mutating func lineEnd(_ byte: UInt8, _ position: inout Int) throws(Failure) -> Bool {
        guard byte == UInt8(ascii: "\n") else { throw .malformed("a line does not end in CR LF") }
        position += 1
        self.phase = .marker
        guard Self.declaresLength(self.marker) else { return true }
        guard let length = self.length.value else { throw .malformed("a length that is no number") }
        // -1 stands for null.
        guard length >= 0 else { return true }
        switch self.marker {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"):
            guard length <= Self.maximumBulkBytes else { throw .tooLarge("a bulk of \(length) bytes") }
            self.missingBytes = length > 0 ? length : 2
            self.phase = length > 0 ? .body : .bodyEnd
            return false
        default: return try self.openAggregate(length)
        }
    }

    private mutating func openAggregate(_ count: Int) throws(Failure) -> Bool {
        guard count <= Self.maximumElements else { throw .tooLarge("an aggregate of \(count)") }
        guard self.open.count < Self.maximumDepth else { throw .tooLarge("aggregates nested too deep") }
        let kind: Kind =
            switch self.marker {
            case UInt8(ascii: "|"): .attribute
            case UInt8(ascii: ">"): .push
            default: .value
            }
        let pairs = self.marker == UInt8(ascii: "%") || self.marker == UInt8(ascii: "|")
        // An empty one ends at once, as if one element had come.
        self.open.append((kind, max(pairs ? count * 2 : count, 1)))
        return count == 0
    }

    private mutating func body(_ bytes: UnsafeRawBufferPointer, _ position: inout Int) -> Bool {
        let step = min(self.missingBytes, bytes.count - position)
        if self.marker == UInt8(ascii: "!") {
            for offset in 0..<min(step, Self.maximumErrorBytes) { self.keep(bytes[position + offset]) }
        }
        position += step
        self.missingBytes -= step
        if self.missingBytes == 0 {
            self.phase = .bodyEnd
            self.missingBytes = 2
        }
        return false
    }

    private mutating func bodyEnd(_ byte: UInt8, _ position: inout Int) throws(Failure) -> Bool {
        guard byte == (self.missingBytes == 2 ? UInt8(ascii: "\r") : UInt8(ascii: "\n")) else {
            throw .malformed("a bulk does not end in CR LF")
        }
        position += 1
        self.missingBytes -= 1
        guard self.missingBytes == 0 else { return false }
        self.phase = .marker
        return true
    }

    /// Counts a value that ended in the aggregates around it; the outcome, where that ended the outermost.
    private mutating func complete() -> Outcome? {
        while let last = self.open.indices.last {
            self.open[last].missing -= 1
            guard self.open[last].missing == 0 else { return nil }
            let kind = self.open.removeLast().kind
            if kind == .value { continue }
            // The value that an attribute belongs to is still to come; a push answers nothing.
            if self.open.isEmpty { self.hasError = false }
            if kind == .attribute || self.open.isEmpty { return nil }
        }
        let outcome: Outcome = self.hasError ? .error : .value
        self.hasError = false
        return outcome
    }

    private mutating func keep(_ byte: UInt8) {
        if self.keepsText, self.errorText.count < Self.maximumErrorBytes { self.errorText.append(byte) }
    }

    private static func declaresLength(_ marker: UInt8) -> Bool {
        switch marker {
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"), UInt8(ascii: "*"), UInt8(ascii: "~"),
            UInt8(ascii: ">"), UInt8(ascii: "%"), UInt8(ascii: "|"):
            true
        default: false
        }
    }
}
