package import AnnexCore
import NIOCore
import NIOPosix
import Synchronization

/// Asks servers PING, each on a connection that carries nothing else, and tells what came of it.
///
/// Lives on one thread of its own. Of a server that does not answer nothing queues: the next PING waits for its turn,
/// and a connection on which several went unanswered is made anew.
package final class HealthMonitor: Sendable {
    package typealias Address = ClusterTopology.Address
    /// `nanos` is the time from PING to its answer; nil where none came within the interval.
    package typealias Report = @Sendable (Address, _ nanos: UInt64?) -> Void

    package struct Settings: Sendable {
        package var interval: Duration = .milliseconds(250)
        /// Sent by AUTH first; nil where none is needed.
        package var password: String?

        package init() {}
    }

    private let group: MultiThreadedEventLoopGroup
    private let loop: any EventLoop
    private let settings: Settings
    private let report: Report
    private let probes = Mutex<[Address: HealthProbe]>([:])

    /// - Parameter report: called on the monitor's thread once in each interval for each server; must not block.
    package init(_ settings: Settings = Settings(), report: @escaping Report) {
        self.group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        self.loop = self.group.next()
        self.settings = settings
        self.report = report
    }

    /// Watches these servers from now on. Those that stay keep their connections.
    package func watch(_ addresses: some Collection<Address>) {
        let wanted = Set(addresses)
        let (gone, new) = self.probes.withLock { probes in
            let gone = probes.filter { !wanted.contains($0.key) }.map(\.value)
            for address in probes.keys where !wanted.contains(address) { probes[address] = nil }
            var new: [HealthProbe] = []
            for address in wanted where probes[address] == nil {
                let probe = HealthProbe(address, self.loop, self.settings, self.report)
                probes[address] = probe
                new.append(probe)
            }
            return (gone, new)
        }
        self.loop.execute {
            for probe in gone { probe.stop() }
            for probe in new { probe.start() }
        }
    }

    package func stop() async {
        self.watch([])
        await NameLookups.shutDown(self.group)
    }
}

/// Probes one server. Unchecked because all but constants is touched on its loop only.
private final class HealthProbe: @unchecked Sendable {
    /// The connection is given up after so many unanswered PINGs.
    private static let patience = 8

    private let address: ClusterTopology.Address
    private let loop: any EventLoop
    private let settings: HealthMonitor.Settings
    private let report: HealthMonitor.Report
    private var pings: PingConnection?
    private var task: RepeatedTask?
    private var nanos: UInt64?

    init(
        _ address: ClusterTopology.Address,
        _ loop: any EventLoop,
        _ settings: HealthMonitor.Settings,
        _ report: @escaping HealthMonitor.Report
    ) {
        self.address = address
        self.loop = loop
        self.settings = settings
        self.report = report
    }

    func start() {
        let interval = TimeAmount(self.settings.interval)
        var connection = RESPSettings(host: self.address.host, port: self.address.port)
        connection.connectTimeout = interval
        let pings = PingConnection(
            connection,
            password: self.settings.password,
            patience: Self.patience,
            loop: self.loop,
            callbacks: .init(answered: { [weak self] in self?.nanos = $0 }, ended: {})
        )
        self.pings = pings
        pings.ping()
        self.task = self.loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            self?.tick()
        }
    }

    func stop() {
        self.task?.cancel()
        self.task = nil
        self.pings?.close()
    }

    /// Tells of the interval that is over and begins the next.
    private func tick() {
        self.report(self.address, self.nanos)
        self.nanos = nil
        self.pings?.ping()
    }
}
