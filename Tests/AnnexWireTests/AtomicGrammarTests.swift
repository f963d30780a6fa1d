import AnnexCore
import AnnexWire
import Testing

/// ATOMIC: several changes as one command.
@Suite struct AtomicGrammarTests {
    private func request(_ words: [String]) -> Request { Request(words.map { Array($0.utf8) }) }

    private func failure(_ words: [String]) -> ArgumentFailure? {
        do throws(ArgumentFailure) {
            _ = try AtomicArguments(self.request(words))
            return nil
        } catch { return error }
    }

    /// What a router writes, a shard reads.
    @Test func whatIsWrittenIsRead() throws {
        let changes = [
            ["EVENT", "{7}a", "i1", "2.5", "AT", "1700000000000"], ["event.del", "{7}b", "i\u{0}\r\n"],
            ["FORGET", "{7}a"],
        ]
        let words = AtomicArguments.words(of: changes.map(self.request))
        #expect(words[1] == Array("{7}a".utf8))
        let read = try AtomicArguments(Request(words)).changes
        #expect(read.map { change in (0..<change.request.count).map { change.request.string($0) } } == changes)
    }

    @Test(arguments: [
        ["EVENT", "u", "i", "x"], ["0", "EVENT"], ["-1", "EVENT"], ["9223372036854775807", "EVENT", "u", "i"],
        ["4", "EVENT", "u", "i"],
        ["1", "FORGET"], ["3", "NOSUCH", "u", "i"], ["3", "TOPK", "u", "5"],
        ["6", "ATOMIC", "u", "3", "EVENT", "u", "i"],
        ["3", "EVENT", "u", "i", "2"],
    ]) func whatIsNoChange(_ words: [String]) { #expect(self.failure(["ATOMIC", "u"] + words)?.code == .error) }

    @Test func oneSlot() {
        #expect(self.failure(["ATOMIC", "u", "2", "FORGET", "other"])?.code == .crossSlot)
        #expect(self.failure(["ATOMIC", "u", "2", "FORGET", "{u}other"]) == nil)
    }

    @Test func limit() {
        let most = Limits.maximumTransactionChanges
        for count in [most, most + 1] {
            let words = ["ATOMIC", "u"] + (0..<count).flatMap { _ in ["2", "FORGET", "u"] }
            #expect((self.failure(words) == nil) == (count == most))
        }
    }
}
