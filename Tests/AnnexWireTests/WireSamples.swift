import AnnexCore
import AnnexTestSupport
import AnnexWire
import Foundation
import NIOCore

/// Frames out of a seed, and ways to feed them.
struct WireSamples {
    var generator: SeededRandom

    init(seed: UInt64) { self.generator = SeededRandom(seed: seed) }

    /// Bytes of a word: short, long, empty, binary, or such as look like framing.
    mutating func word() -> [UInt8] {
        switch Int.random(in: 0..<8, using: &self.generator) {
        case 0: return []
        case 1: return Array("\r\n*1\r\n$4\r\nPING\r\n".utf8)
        case 2: return (0..<Int.random(in: 1..<300, using: &self.generator)).map { _ in self.byte() }
        case 3: return Array("$".utf8) + [0x0d]
        default:
            return (0..<Int.random(in: 1..<12, using: &self.generator)).map { _ in
                UInt8.random(in: 0x61...0x7a, using: &self.generator)
            }
        }
    }

    mutating func byte() -> UInt8 { UInt8.random(in: 0...255, using: &self.generator) }

    /// One frame as bytes, and the words it stands for; no words for an empty request.
    mutating func frame() -> (bytes: [UInt8], words: [[UInt8]]) {
        switch Int.random(in: 0..<10, using: &self.generator) {
        case 0:
            let empty = ["*0\r\n", "*-1\r\n", "\r\n", "\n", "  \t \r\n"]
            return (Array(empty.randomElement(using: &self.generator)?.utf8 ?? "".utf8), [])
        case 1, 2:
            // A line must not begin with an asterisk; quoting starts it with a quotation mark.
            let words = (0..<Int.random(in: 1..<6, using: &self.generator)).map { _ in self.word() }
            let end = Bool.random(using: &self.generator) ? "\r\n" : "\n"
            return (Array(words.map(Self.quoted).joined(separator: [0x20])) + Array(end.utf8), words)
        default:
            let words = (0..<Int.random(in: 1..<9, using: &self.generator)).map { _ in self.word() }
            return (Self.encode(words), words)
        }
    }

    static func encode(_ words: [[UInt8]]) -> [UInt8] {
        words.reduce(into: Array("*\(words.count)\r\n".utf8)) { out, word in
            out += Array("$\(word.count)\r\n".utf8) + word + [0x0d, 0x0a]
        }
    }

    static func encode(_ words: String...) -> [UInt8] { Self.encode(words.map { Array($0.utf8) }) }

    /// A word for an inline line, every odd byte as `\xNN`.
    static func quoted(_ word: [UInt8]) -> [UInt8] {
        let inside = word.map { byte -> String in
            switch byte {
            case 0x61...0x7a, 0x30...0x39: String(UnicodeScalar(byte))
            case 0x0d: "\\r"
            case 0x0a: "\\n"
            case 0x22: "\\\""
            case 0x5c: "\\\\"
            default: (byte < 16 ? "\\x0" : "\\x") + String(byte, radix: 16)
            }
        }
        return Array("\"\(inside.joined())\"".utf8)
    }

    /// Cuts `bytes` into pieces of 1 to `longest` bytes.
    mutating func pieces(of bytes: [UInt8], longest: Int) -> [ArraySlice<UInt8>] {
        var pieces: [ArraySlice<UInt8>] = []
        var start = 0
        while start < bytes.count {
            let end = min(bytes.count, start + Int.random(in: 1...longest, using: &self.generator))
            pieces.append(bytes[start..<end])
            start = end
        }
        return pieces
    }
}

/// Everything that a parser makes of a stream.
struct ParsedStream: Equatable {
    var requests: [[[UInt8]]] = []
    var failure: String?
    /// Times the parser let others have their turn.
    var pauses = 0
    /// Bytes left unread.
    var left = 0
}

/// Feeds pieces to a parser; after each, takes all requests. `compact` moves the bytes in the buffer between pieces.
func parse(
    _ pieces: some Sequence<ArraySlice<UInt8>>,
    with parser: inout RequestParser,
    compact: Bool = false
) -> ParsedStream {
    var buffer = ByteBuffer()
    var request = Request()
    var out = ParsedStream()
    feeding: for piece in pieces {
        buffer.writeBytes(piece)
        while true {
            switch parser.next(&buffer, into: &request) {
            case .request:
                out.requests.append((0..<request.count).map { request.bytesOf($0) })
                continue
            case .paused:
                out.pauses += 1
                continue
            case .failed(let text):
                out.failure = text
                break feeding
            case .needMore: break
            }
            break
        }
        request.release(midFrame: parser.isInsideFrame)
        if compact { buffer.discardReadBytes() }
    }
    out.left = buffer.readableBytes
    return out
}

func parse(_ bytes: [UInt8], limits: WireLimits = WireLimits(), authenticated: Bool = true) -> ParsedStream {
    var parser = RequestParser(limits: limits, authenticated: authenticated)
    return parse([bytes[...]], with: &parser)
}

func parse(_ text: String, limits: WireLimits = WireLimits(), authenticated: Bool = true) -> ParsedStream {
    parse(Array(text.utf8), limits: limits, authenticated: authenticated)
}

func request(_ words: String...) -> Request { Request(words.map { Array($0.utf8) }) }
func request(_ words: [String]) -> Request { Request(words.map { Array($0.utf8) }) }

/// The one reply that `body` writes, read back; nil where it is not exactly one.
func reply(_ version: RESPVersion = .two, _ body: (inout ReplyWriter) -> Void) throws -> ReplyValue? {
    var writer = ReplyWriter(version: version, buffer: ByteBuffer())
    body(&writer)
    var parser = ReplyParser()
    var buffer = writer.takeBuffer()
    let value = try parser.next(&buffer)
    return buffer.readableBytes == 0 ? value : nil
}

/// A number from the environment, for longer runs.
func setting(_ name: String, _ standard: Int) -> Int {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
}

extension CommandTable {
    /// What a connection answers to a `COMMAND …`.
    func answer(_ request: Request, _ reply: inout ReplyWriter) {
        switch self.lookup(request) {
        case .command(_, _, .connection(.command)): self.writeInfo(&reply)
        case .command(_, _, .connection(.commandCount)): reply.integer(self.specifications.count)
        case .command(_, _, .connection(.commandList)): self.writeNames(&reply)
        case .command(_, _, .connection(.commandInfo)): self.writeInfo(of: request, &reply)
        case .command(_, _, .connection(.commandDocs)): self.writeDocs(of: request, &reply)
        case .command(_, _, .connection(.commandGetKeys)): self.writeKeys(request, withFlags: false, &reply)
        case .command(_, _, .connection(.commandGetKeysAndFlags)): self.writeKeys(request, withFlags: true, &reply)
        case .command(let found, _, .help): Self.writeHelp(of: found, &reply)
        case .command(let found, _, _): reply.error(.unknownSubcommand(of: found.name, request))
        case .refused(let failure, _): reply.error(failure)
        }
    }
}

extension Request {
    /// An argument as text, however long.
    func string(_ index: Int) -> String { self.withArgument(index) { String(decoding: $0, as: UTF8.self) } }
}
