import AnnexCore
import AnnexWire
import NIOCore

/// Remembers what concerns a client's connection: the replies it waits for, so that they can be given up when the
/// client leaves, and how far its own events came in the log, so that its reads are not answered from before them.
///
/// Each client connection has one, on its loop. It keeps at most one position for each index and block of slots.
final class RouterClient: Sendable {
    // MARK: What it waits for

    /// The first of the rows of what it waits for, which are linked; -1 where there is none. Only the connection's loop
    /// touches it.
    nonisolated(unsafe) var firstRow = -1
    /// Adds up, by `ReadCost`, the microseconds of its reads of middle cost that are under way. Only the connection's
    /// loop touches it.
    nonisolated(unsafe) var costUnderWay = 0

    // MARK: How far its events came

    struct Known {
        /// Holds `NAME:BLOCK:MS-SEQ:LOG`, as a replica gave it.
        var word: [UInt8]
        let block: Int
        /// Bit r is set where replica r is known to be there. The one that acknowledged is not known to be, because of
        /// `--ack log`.
        var reached: UInt64 = 0
        /// `reached` holds for this count of forgetting only.
        var reaches = 0
    }

    private static let limit = 256

    /// Only the connection's loop touches it.
    nonisolated(unsafe) private(set) var known: [Known] = []

    /// Takes a position down. Older than what is known: nothing happens, unless it is of another log, which has taken the place
    /// of the first.
    func add(_ word: [UInt8]) {
        guard let parsed = Self.parse(word) else { return }
        for index in self.known.indices {
            guard let parsedKnown = Self.parse(self.known[index].word), parsedKnown.stream == parsed.stream else {
                continue
            }
            let isNewer =
                (parsedKnown.milliseconds, parsedKnown.sequence) < (parsed.milliseconds, parsed.sequence)
            guard isNewer || parsedKnown.log != parsed.log else { return }
            self.known[index] = Known(word: word, block: parsed.block)
            return
        }
        // Clients may name positions of indexes that are none.
        if self.known.count >= Self.limit { self.known.removeFirst() }
        self.known.append(Known(word: word, block: parsed.block))
    }

    // MARK: Changes that are under way

    /// Only the connection's loop touches it.
    nonisolated(unsafe) var order = ChangeOrder<HeldChange>()

    /// Changes of one slot that are not answered yet, and the replica that the last of them went to.
    private struct UnderWay {
        let slot: Int
        var replica: Int
        var count: Int
    }

    /// Has at most one element for each slot with changes under way. Only the connection's loop touches it.
    nonisolated(unsafe) private var underWay: [UnderWay] = []

    /// Returns the replica that further changes of the slot go to, so that replicas get them in the order in which the
    /// client sent them; nil where none is under way.
    func replica(ofChangesTo slot: Int?) -> Int? { self.underWay.first { $0.slot == slot }?.replica }

    func changeBegan(_ slot: Int?, at replica: Int) {
        guard let slot else { return }
        if let index = self.underWay.firstIndex(where: { $0.slot == slot }) {
            self.underWay[index].replica = replica
            self.underWay[index].count += 1
        } else {
            self.underWay.append(UnderWay(slot: slot, replica: replica, count: 1))
        }
    }

    /// It was sent once more, elsewhere: what follows goes there too.
    func changeMoved(_ slot: Int?, to replica: Int) {
        guard let index = self.underWay.firstIndex(where: { $0.slot == slot }) else { return }
        self.underWay[index].replica = replica
    }

    func changeEnded(_ slot: Int?) {
        guard let index = self.underWay.firstIndex(where: { $0.slot == slot }) else { return }
        self.underWay[index].count -= 1
        if self.underWay[index].count == 0 { self.underWay.remove(at: index) }
    }

    // MARK: Reads behind them

    /// Returns the WAITPOS commands that must go ahead of a read of these users at a replica.
    ///
    /// - Parameter reaches: grows when what replicas have reached is to be forgotten.
    func waits(_ users: [[UInt8]], replica: Int, reaches: Int, milliseconds: UInt64) -> [ByteBuffer] {
        guard !self.known.isEmpty else { return [] }
        var waits: [ByteBuffer] = []
        for position in self.known where !Self.has(position, replica, reaches) {
            guard let user = users.first(where: { Slot.block(of: Slot.of($0)) == position.block }) else { continue }
            var wait = ByteBuffer()
            let words = [
                Array("WAITPOS".utf8), user, position.word, Array("TIMEOUT".utf8), Array("\(milliseconds)".utf8),
            ]
            RequestEncoder.append(words, to: &wait)
            waits.append(wait)
        }
        return waits
    }

    /// A replica answered a read of these users that had waited: it need not wait for these positions again.
    func reached(_ users: [[UInt8]], replica: Int, reaches: Int) {
        guard replica < 64 else { return }
        for index in self.known.indices
        where users.contains(where: { Slot.block(of: Slot.of($0)) == self.known[index].block }) {
            if self.known[index].reaches != reaches { self.known[index].reached = 0 }
            self.known[index].reaches = reaches
            self.known[index].reached |= 1 << UInt64(replica)
        }
    }

    private static func has(_ position: Known, _ replica: Int, _ reaches: Int) -> Bool {
        replica < 64 && position.reaches == reaches && position.reached & (1 << UInt64(replica)) != 0
    }

    private static func parse(
        _ word: [UInt8]
    ) -> (stream: ArraySlice<UInt8>, block: Int, milliseconds: UInt64, sequence: UInt64, log: ArraySlice<UInt8>?)? {
        let parts = word.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 3 || parts.count == 4, let block = Int(String(decoding: parts[1], as: UTF8.self)) else {
            return nil
        }
        let id = parts[2].split(separator: UInt8(ascii: "-"), omittingEmptySubsequences: false)
        guard id.count == 2, let milliseconds = UInt64(String(decoding: id[0], as: UTF8.self)),
            let sequence = UInt64(String(decoding: id[1], as: UTF8.self))
        else { return nil }
        return (word[..<parts[1].endIndex], block, milliseconds, sequence, parts.count == 4 ? parts[3] : nil)
    }
}
