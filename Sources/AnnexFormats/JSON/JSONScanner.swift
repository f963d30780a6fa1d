import AnnexCore

/// Goes through JSON once, from front to back; recursive, with a bound.
struct JSONScanner {
    typealias Problem = JSONObject.Problem
    typealias Value = JSONObject.Value

    private let bytes: ArraySlice<UInt8>
    private var position: Int
    private(set) var notFinite: Int?

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        self.position = bytes.startIndex
    }

    /// Reads an object that has nothing behind it.
    mutating func object() throws(Problem) -> [(name: [UInt8], value: Value)] {
        var members: [(name: [UInt8], value: Value)] = []
        self.blanks()
        guard self.eat("{") else { throw self.problem() }
        try self.sequence(end: "}") { scanner throws(Problem) in
            members.append(try scanner.member(depth: 1))
        }
        try self.end()
        return members
    }

    /// Reads a list that has nothing behind it.
    mutating func list() throws(Problem) -> [Value] {
        var values: [Value] = []
        self.blanks()
        guard self.eat("[") else { throw self.problem() }
        try self.sequence(end: "]") { scanner throws(Problem) in values.append(try scanner.value(depth: 1)) }
        try self.end()
        return values
    }

    private mutating func end() throws(Problem) {
        self.blanks()
        guard self.position == self.bytes.endIndex else { throw self.problem() }
    }

    private var next: UInt8? { self.position < self.bytes.endIndex ? self.bytes[self.position] : nil }

    private func problem() -> Problem {
        Problem(reason: "the line is no JSON object: wrong at byte \(self.position + 1)")
    }

    private mutating func blanks() {
        while let next, next == 0x20 || next == 0x09 || next == 0x0a || next == 0x0d { self.position += 1 }
    }

    private mutating func eat(_ character: Unicode.Scalar) -> Bool {
        guard self.next == UInt8(ascii: character) else { return false }
        self.position += 1
        return true
    }

    /// Reads the values between brackets, comma by comma.
    private mutating func sequence(
        end: Unicode.Scalar,
        _ element: (inout JSONScanner) throws(Problem) -> Void
    ) throws(Problem) {
        self.blanks()
        if self.eat(end) { return }
        while true {
            self.blanks()
            try element(&self)
            self.blanks()
            if self.eat(end) { return }
            guard self.eat(",") else { throw self.problem() }
        }
    }

    private mutating func member(depth: Int) throws(Problem) -> (name: [UInt8], value: Value) {
        let name = try self.string()
        self.blanks()
        guard self.eat(":") else { throw self.problem() }
        self.blanks()
        return (name, try self.value(depth: depth))
    }

    /// - Parameter depth: objects and lists that the value is in.
    private mutating func value(depth: Int) throws(Problem) -> Value {
        let begin = self.position
        let kind: JSONObject.Kind
        switch self.next {
        case UInt8(ascii: "\""):
            try self.skipString()
            kind = .text
        case UInt8(ascii: "{"), UInt8(ascii: "["):
            guard depth < JSONObject.maximumDepth else {
                let bound = "\(JSONObject.maximumDepth) levels at byte \(self.position + 1)"
                throw Problem(reason: "the JSON object is nested deeper than \(bound)")
            }
            if self.eat("{") {
                try self.sequence(end: "}") { scanner throws(Problem) in
                    try scanner.skipString()
                    scanner.blanks()
                    guard scanner.eat(":") else { throw scanner.problem() }
                    scanner.blanks()
                    _ = try scanner.value(depth: depth + 1)
                }
                kind = .object
            } else {
                _ = self.eat("[")
                try self.sequence(end: "]") { scanner throws(Problem) in
                    _ = try scanner.value(depth: depth + 1)
                }
                kind = .list
            }
        default: kind = try self.numberOrWord()
        }
        return Value(kind: kind, range: begin..<self.position)
    }

    private mutating func numberOrWord() throws(Problem) -> JSONObject.Kind {
        // Most are numbers, and no word begins with a digit.
        if let next, !(0x30...0x39).contains(next) {
            for word in ["true", "false", "null"] where self.eat(word: word) { return .word }
            for word in ["NaN", "Infinity", "-Infinity"] {
                let begin = self.position
                guard self.eat(word: word) else { continue }
                self.notFinite = self.notFinite ?? begin
                return .notFinite
            }
        }
        try self.number()
        return .number
    }

    private mutating func eat(word: String) -> Bool {
        guard self.bytes[self.position...].starts(with: word.utf8) else { return false }
        self.position += word.utf8.count
        return true
    }

    private mutating func number() throws(Problem) {
        _ = self.eat("-")
        if !self.eat("0") { try self.digits() }
        if self.eat(".") { try self.digits() }
        if let next, next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            self.position += 1
            if let sign = self.next, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { self.position += 1 }
            try self.digits()
        }
    }

    private mutating func digits() throws(Problem) {
        let begin = self.position
        while let next, (0x30...0x39).contains(next) { self.position += 1 }
        guard self.position > begin else { throw self.problem() }
    }
}

extension JSONScanner {
    /// Reads a string, as the bytes that it stands for.
    mutating func string() throws(Problem) -> [UInt8] {
        var out: [UInt8] = []
        try self.walkString { out.append(contentsOf: $0) }
        return out
    }

    private mutating func skipString() throws(Problem) { try self.walkString { _ in } }

    private mutating func walkString(_ piece: (ArraySlice<UInt8>) -> Void) throws(Problem) {
        guard self.eat("\"") else { throw self.problem() }
        var begin = self.position
        while let next {
            switch next {
            case UInt8(ascii: "\""):
                piece(self.bytes[begin..<self.position])
                self.position += 1
                return
            case UInt8(ascii: "\\"):
                piece(self.bytes[begin..<self.position])
                self.position += 1
                piece(Array(String(try self.escape()).utf8)[...])
                begin = self.position
            case 0..<0x20: throw self.problem()
            default: self.position += 1
            }
        }
        throw self.problem()
    }

    private mutating func escape() throws(Problem) -> Unicode.Scalar {
        guard let next else { throw self.problem() }
        self.position += 1
        switch next {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(next)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let first = try self.hexadecimal()
            if let scalar = Unicode.Scalar(first) { return scalar }
            // The first half of a pair must come, and then the second: anything else is no text.
            guard first < 0xdc00, self.eat("\\"), self.eat("u") else { throw self.problem() }
            let second = try self.hexadecimal()
            guard (0xdc00...0xdfff).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            else { throw self.problem() }
            return scalar
        default: throw self.problem()
        }
    }

    private mutating func hexadecimal() throws(Problem) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let next = self.next, let digit = Character(Unicode.Scalar(next)).hexDigitValue else {
                throw self.problem()
            }
            value = value << 4 | UInt32(digit)
            self.position += 1
        }
        return value
    }
}
