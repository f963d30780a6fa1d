import AnnexCore

/// Reads the head of a `.npy` file (versions 1 to 3) strictly, as NumPy's `format.py` documents it.
struct NpyHeader: Equatable {
    /// The kind is `b`, `f`, `i`, `u`, `S` or `U`.
    let kind: UInt8
    /// One element has so many bytes.
    let itemBytes: Int
    let bigEndian: Bool
    let fortranOrder: Bool
    let shape: [Int]

    static func read(_ stream: ByteStream) throws(AnnexError) -> NpyHeader {
        func bad(_ why: String, _ hint: String = "The file is cut or damaged: save it again with numpy.save")
            -> AnnexError
        {
            AnnexError(.badInput, "not a .npy file that can be read: \(why)", at: stream.path, hint: hint)
        }
        let head = try stream.peek(6)
        guard head == [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59], let magic = try stream.bytes(8) else {
            throw Self.isArchive(head)
                ? bad("it is an archive of arrays", "Name it .npz: numpy.savez wrote it")
                : bad("it does not begin with NumPy's mark", "Save it with numpy.save, or name it after its format")
        }
        guard (1...3).contains(magic[6]) else { throw bad("header version \(magic[6])") }
        let width = magic[6] == 1 ? 2 : 4
        guard let digits = try stream.bytes(width) else { throw bad("it ends within the header") }
        let length = digits.reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length <= 1 << 16 else { throw bad("a header of \(length) bytes") }
        guard let text = try stream.bytes(length) else { throw bad("it ends within the header") }
        var parser = PythonDictionary(text)
        guard let header = parser.parse() else {
            throw bad("the header is not a dictionary of descr, fortran_order, shape")
        }
        guard let (kind, itemBytes, big) = Self.type(header.descr) else {
            throw AnnexError(
                .badInput,
                "the array is of dtype '\(Printable.escape(header.descr))', which is not read",
                at: stream.path,
                hint:
                    "Convert it before saving: array.astype('float32') for factors and numbers, array.astype('str') for ids"
            )
        }
        guard header.shape.allSatisfy({ $0 >= 0 && $0 <= Limits.maximumItems }) else {
            throw bad("impossible shape \(header.shape)")
        }
        return NpyHeader(
            kind: kind,
            itemBytes: itemBytes,
            bigEndian: big,
            fortranOrder: header.fortranOrder,
            shape: header.shape
        )
    }

    private static func isArchive(_ head: [UInt8]) -> Bool { head.starts(with: [0x50, 0x4b, 3, 4]) }

    /// Advises what to do with an array that must have one axis.
    var oneAxisHint: String {
        self.shape.count { $0 != 1 } <= 1
            ? "Give it one axis: array.ravel()" : "Save an array with one value per row, such as array[:, 0]"
    }

    /// Says shape and type as NumPy does, for messages: `shape (3, 1) of float32`.
    var summary: String {
        let axes = self.shape.map { "\($0)" }.joined(separator: ", ") + (self.shape.count == 1 ? "," : "")
        let name =
            switch self.kind {
            case UInt8(ascii: "f"): "float\(self.itemBytes * 8)"
            case UInt8(ascii: "i"): "int\(self.itemBytes * 8)"
            case UInt8(ascii: "u"): "uint\(self.itemBytes * 8)"
            case UInt8(ascii: "b"): "bool"
            default: "text"
            }
        return "shape (\(axes)) of \(name)"
    }

    /// Reads a type such as `<f4`, `|i1` or `<U12`.
    private static func type(_ text: String) -> (UInt8, Int, Bool)? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 3, let size = Int(String(decoding: bytes[2...], as: UTF8.self)), size >= 1 else {
            return nil
        }
        let order = bytes[0]
        guard [UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "|"), UInt8(ascii: "=")].contains(order) else {
            return nil
        }
        let big = order == UInt8(ascii: ">")
        switch bytes[1] {
        case UInt8(ascii: "b"): return size == 1 ? (bytes[1], size, big) : nil
        case UInt8(ascii: "f"): return [2, 4, 8].contains(size) ? (bytes[1], size, big) : nil
        case UInt8(ascii: "i"), UInt8(ascii: "u"): return [1, 2, 4, 8].contains(size) ? (bytes[1], size, big) : nil
        case UInt8(ascii: "S"): return size <= 4_096 ? (bytes[1], size, big) : nil
        case UInt8(ascii: "U"): return size <= 4_096 ? (bytes[1], size * 4, big) : nil
        default: return nil
        }
    }
}

/// Reads the one Python literal that a `.npy` header is: `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`.
private struct PythonDictionary {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    mutating func parse() -> (descr: String, fortranOrder: Bool, shape: [Int])? {
        var descr: String?
        var order: Bool?
        var shape: [Int]?
        guard self.eat("{") else { return nil }
        while !self.eat("}") {
            guard let key = self.quoted(), self.eat(":") else { return nil }
            switch key {
            case "descr" where descr == nil: descr = self.quoted()
            case "fortran_order" where order == nil: order = self.eat("True") ? true : self.eat("False") ? false : nil
            case "shape" where shape == nil: shape = self.tuple()
            default: return nil
            }
            if !self.eat(","), !self.peek("}") { return nil }
        }
        // Blanks and a line end stand behind it, and nothing else.
        let rest = self.bytes[self.position...]
        guard rest.dropLast(rest.last == 0x0a ? 1 : 0).allSatisfy({ $0 == 0x20 }) else { return nil }
        guard let descr, let order, let shape else { return nil }
        return (descr, order, shape)
    }

    private mutating func blank() {
        while self.position < self.bytes.count, self.bytes[self.position] == 0x20 { self.position += 1 }
    }

    private mutating func peek(_ word: String) -> Bool {
        self.blank()
        return self.bytes[self.position...].starts(with: word.utf8)
    }

    private mutating func eat(_ word: String) -> Bool {
        guard self.peek(word) else { return false }
        self.position += word.utf8.count
        return true
    }

    private mutating func quoted() -> String? {
        guard self.eat("'") || self.eat("\""),
            let end = self.bytes[self.position...].firstIndex(where: { $0 == 0x27 || $0 == 0x22 })
        else { return nil }
        defer { self.position = end + 1 }
        return String(decoding: self.bytes[self.position..<end], as: UTF8.self)
    }

    private mutating func tuple() -> [Int]? {
        guard self.eat("(") else { return nil }
        var numbers: [Int] = []
        while !self.eat(")") {
            self.blank()
            let end = self.bytes[self.position...].firstIndex { !(0x30...0x39).contains($0) } ?? self.bytes.count
            guard let number = Int(String(decoding: self.bytes[self.position..<end], as: UTF8.self)), numbers.count < 8
            else { return nil }
            numbers.append(number)
            self.position = end
            if !self.eat(","), !self.peek(")") { return nil }
        }
        return numbers
    }
}
